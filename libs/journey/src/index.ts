/** What happens to an identity, step by step, on the journey topic. */
export {}

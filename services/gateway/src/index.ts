/** The gateway: credentials end here, Txn-Tokens go on. */
export {}

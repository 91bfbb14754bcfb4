/** Assigns one partition of the topic and leaves the others: a tail wants no more. */
import kafkajs, { type PartitionAssigner } from 'kafkajs'

const VERSION = 1

export function onlyPartition(partition: number): PartitionAssigner {
  const { MemberAssignment, MemberMetadata } = kafkajs.AssignerProtocol
  return () => ({
    name: 'countersign-only-partition',
    version: VERSION,
    assign: ({ members, topics }) => {
      const assignment = Object.fromEntries(topics.map((topic) => [topic, [partition]]))
      const userData = Buffer.alloc(0)
      return Promise.resolve(
        members.map(({ memberId }) => ({
          memberId,
          memberAssignment: MemberAssignment.encode({ version: VERSION, assignment, userData }),
        })),
      )
    },
    protocol: ({ topics }) => ({
      name: 'countersign-only-partition',
      metadata: MemberMetadata.encode({ version: VERSION, topics, userData: Buffer.alloc(0) }),
    }),
  })
}

-- name: write_batch
-- Write the net changes of a batch and its rows of the audit, in one call; see the function
-- (migration 0035). Null stands for nothing of a kind.
-- $1 organisations, $2 groups, $3 members: memberships to delete, each column as one text
-- $4 organisations, $5 groups to delete
-- $6 organisations, $7 members to delete
-- $8 organisations, $9 ids, $10 user name keys, $11 external ids, $12 status, $13 restore status,
-- $14 invitation ids, $15 versions, $16 created, $17 last modified, $18 display name keys,
-- $19 e-mail keys joined by U+001E, $20 kept addresses, $21 documents: of members
-- $22 organisations, $23 ids, $24 display name keys, $25 unique name keys, $26 external ids,
-- $27 versions, $28 created, $29 last modified, $30 documents: of groups
-- $31 organisations, $32 groups, $33 members: memberships to insert, each column as one text
-- $34 organisations, $35 members that are erased
-- $36 ids, $37 organisations, $38 topics, $39 partitions, $40 offsets, $41 epochs, $42 types,
-- $43 resource ids, $44 actors, $45 append times, $46 event times, $47 status, $48 scim types,
-- $49 optimistic, $50 outcomes as JSON text: of the audit
-- $51 at most this many memberships of each group or member that is deleted
-- $52 at most this many dead letters and parked events
-- roles: provisioner
SELECT more_of_groups, more_of_members, letters, parked
FROM rollcall.write_batch(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40,
    $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52)

-- name: begin_batch
-- Compare and set the position of a partition, and load what its batch needs, in one call; see the
-- function (migration 0035). Null stands for nothing of a kind.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 the new next offset
-- $6 everything below is announced
-- $7 id of the record before the new offset, null where it has none
-- $8 append time of that record
-- $9 ids of refusals whose reply came too late or may not have come
-- $10 organisations of which to say whether they have left
-- $11 organisations of which to say where they live
-- $12 events of which to say whether they are applied
-- $13 organisations whose quarantines to load
-- $14 organisations, $15 members by id: in pairs
-- $16 organisations, $17 user name keys: in pairs
-- $18 organisations, $19 external ids of members: in pairs
-- $20 organisations, $21 ids that may be members: in pairs
-- $22 organisations, $23 members with all their groups: in pairs
-- $24 organisations, $25 groups by id: in pairs
-- $26 organisations, $27 display name keys: in pairs
-- $28 organisations, $29 external ids of groups: in pairs
-- $30 organisations, $31 groups, $32 members: memberships, in threes
-- $33 most bytes of a document
-- $34 most memberships
-- roles: provisioner
SELECT is_ours, is_large, applied, gone, partitions, quarantines, parks, members, member_names,
       member_holders, known, groups, group_names, group_holders, memberships
FROM rollcall.begin_batch(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
    $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34)

-- Lists of the console that stay fast with a million members.

CREATE INDEX member_by_status ON directory.member (organisation_id, status, user_name_key);
CREATE INDEX member_invited ON directory.member (organisation_id, invitation_id)
    WHERE status = 'invited';
CREATE INDEX group_by_name ON directory."group" (organisation_id, left(display_name_key, 256), id);

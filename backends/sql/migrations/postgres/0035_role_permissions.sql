CREATE TABLE {{role_permissions}} (
    "role_id" uuid NOT NULL,
    "permission_id" uuid NOT NULL,
    "created_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("role_id", "permission_id"),
    CONSTRAINT "role_permissions_role" FOREIGN KEY ("role_id") REFERENCES {{roles}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "role_permissions_permission" FOREIGN KEY ("permission_id") REFERENCES {{permissions}} ("id") ON DELETE RESTRICT
);

CREATE INDEX {{bare:role_permissions_permission}} ON {{role_permissions}} ("permission_id", "role_id");

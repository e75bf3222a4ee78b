CREATE TABLE {{role_permissions}} (
    "role_id" BLOB NOT NULL CHECK (length("role_id") = 16),
    "permission_id" BLOB NOT NULL CHECK (length("permission_id") = 16),
    "created_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("role_id", "permission_id"),
    CONSTRAINT "role_permissions_role" FOREIGN KEY ("role_id") REFERENCES {{roles}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "role_permissions_permission" FOREIGN KEY ("permission_id") REFERENCES {{permissions}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:role_permissions_permission}} ON {{role_permissions}} ("permission_id", "role_id");

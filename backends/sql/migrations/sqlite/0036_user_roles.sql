CREATE TABLE {{user_roles}} (
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "role_id" BLOB NOT NULL CHECK (length("role_id") = 16),
    "created_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("user_id", "role_id"),
    CONSTRAINT "user_roles_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "user_roles_role" FOREIGN KEY ("role_id") REFERENCES {{roles}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:user_roles_role}} ON {{user_roles}} ("role_id", "user_id");

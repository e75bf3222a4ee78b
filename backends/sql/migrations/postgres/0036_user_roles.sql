CREATE TABLE {{user_roles}} (
    "user_id" uuid NOT NULL,
    "role_id" uuid NOT NULL,
    "created_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("user_id", "role_id"),
    CONSTRAINT "user_roles_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "user_roles_role" FOREIGN KEY ("role_id") REFERENCES {{roles}} ("id") ON DELETE RESTRICT
);

CREATE INDEX {{bare:user_roles_role}} ON {{user_roles}} ("role_id", "user_id");

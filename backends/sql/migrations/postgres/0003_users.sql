CREATE TABLE {{users}} (
    "id" uuid NOT NULL,
    "name" text COLLATE "C" NOT NULL,
    "phone" text COLLATE "C",
    "email" text COLLATE "C" NOT NULL,
    "permission" text COLLATE "C" NOT NULL,
    "activated" boolean NOT NULL DEFAULT false,
    "email_confirmation_hash" text COLLATE "C",
    "email_confirmation_expires" timestamptz,
    "code_confirmation" text COLLATE "C",
    "code_confirmation_expires" timestamptz,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "users_permission" CHECK ("permission" IN ('administrator', 'user'))
);

CREATE UNIQUE INDEX {{bare:users_email}} ON {{users}} ("email");

CREATE UNIQUE INDEX {{bare:users_email_confirmation_hash}} ON {{users}} ("email_confirmation_hash" NULLS FIRST);

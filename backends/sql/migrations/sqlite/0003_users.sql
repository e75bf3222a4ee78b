CREATE TABLE {{users}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "name" TEXT NOT NULL,
    "phone" TEXT,
    "email" TEXT NOT NULL,
    "permission" TEXT NOT NULL,
    "activated" INTEGER NOT NULL DEFAULT 0 CHECK ("activated" IN (0, 1)),
    "email_confirmation_hash" TEXT,
    "email_confirmation_expires" INTEGER,
    "code_confirmation" TEXT,
    "code_confirmation_expires" INTEGER,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "users_permission" CHECK ("permission" IN ('administrator', 'user'))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:users_email}} ON {{users}} ("email");

CREATE UNIQUE INDEX {{bare:users_email_confirmation_hash}} ON {{users}} ("email_confirmation_hash");

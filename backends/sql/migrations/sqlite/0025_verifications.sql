CREATE TABLE {{verifications}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "kind" TEXT NOT NULL,
    "target" TEXT NOT NULL,
    "user_id" BLOB CHECK (length("user_id") = 16),
    "secret" TEXT NOT NULL,
    "algorithm" TEXT NOT NULL,
    "digits" INTEGER NOT NULL,
    "period" INTEGER NOT NULL,
    "char_set" TEXT NOT NULL,
    "new_email" TEXT,
    "expires_at" INTEGER,
    "created_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "verifications_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "verifications_kind" CHECK ("kind" IN ('onboarding', 'reset-password', 'change-email', '2fa', '2fa-verify')),
    CONSTRAINT "verifications_algorithm" CHECK ("algorithm" IN ('SHA-1', 'SHA-256', 'SHA-512')),
    CONSTRAINT "verifications_digits_at_least_four" CHECK ("digits" >= 4),
    CONSTRAINT "verifications_digits_at_most_32" CHECK ("digits" <= 32),
    CONSTRAINT "verifications_period_positive" CHECK ("period" >= 1)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:verifications_target}} ON {{verifications}} ("target", "kind");

CREATE INDEX {{bare:verifications_expires_at}} ON {{verifications}} ("expires_at", "id");

CREATE INDEX {{bare:verifications_user}} ON {{verifications}} ("user_id", "id");

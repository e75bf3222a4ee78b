CREATE TABLE {{ssh_keys}} (
    "id" uuid NOT NULL,
    "user_id" uuid NOT NULL,
    "name" text COLLATE "C" NOT NULL,
    "key" text COLLATE "C" NOT NULL,
    "algorithm" text COLLATE "C" NOT NULL,
    "fingerprint" text COLLATE "C" NOT NULL,
    "created_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "ssh_keys_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT
);

CREATE UNIQUE INDEX {{bare:ssh_keys_fingerprint}} ON {{ssh_keys}} ("user_id", "fingerprint");

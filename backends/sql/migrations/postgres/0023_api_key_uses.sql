CREATE TABLE {{api_key_uses}} (
    "api_key_id" uuid NOT NULL,
    "last_used_at" timestamptz,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("api_key_id"),
    CONSTRAINT "api_key_uses_api_key" FOREIGN KEY ("api_key_id") REFERENCES {{api_keys}} ("id") ON DELETE RESTRICT
);

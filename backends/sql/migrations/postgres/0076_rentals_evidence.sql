-- When the provider answered, and since when it lists the machine no longer.
ALTER TABLE {{rentals}} ADD COLUMN "answered_at" timestamptz;

ALTER TABLE {{rentals}} ADD COLUMN "missing_since" timestamptz;

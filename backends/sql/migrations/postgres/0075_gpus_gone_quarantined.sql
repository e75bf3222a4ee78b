-- A GPU that was quarantined when it vanished is so when it is back.
ALTER TABLE {{gpus}} ADD COLUMN "gone_quarantined" boolean NOT NULL DEFAULT false;

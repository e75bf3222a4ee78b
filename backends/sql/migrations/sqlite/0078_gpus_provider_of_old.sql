-- Who has rented what a lease holds is told by the lease.
UPDATE {{gpus}} SET "provider" = (
    SELECT min("rental"."provider") FROM {{rentals}} AS "rental"
    JOIN {{lease_gpus}} AS "held" ON "held"."lease_id" = "rental"."of_lease"
    WHERE "held"."of_gpu" = {{gpus}}."id"
        AND substr({{gpus}}."instance_id" || '/', 1, length("rental"."instance_id") + 1) = "rental"."instance_id" || '/'
) WHERE "instance_id" IS NOT NULL;

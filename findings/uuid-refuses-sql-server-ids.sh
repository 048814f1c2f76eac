#!/usr/bin/env bash
# uuid 14.0.3, validator 13.15.35, zod 4.6.7, yup 1.7.1 (npm): ids that SQL Server makes are no UUIDs.
#
# An EPR on SQL Server may take its ids from NEWSEQUENTIALID(): UUIDs of version 1, whose first three
# parts have their bytes the other way round, as Windows stores them: …-8e7a-ec11-…. Where others have
# their version is then a digit of the time: e until 2025, f from then to 2039. FHIR, and BaRS for its
# headers, want 32 hexadecimal digits and four hyphens of a UUID, and say of no digit what it has to be.
# One expects the same of a function that tells whether a text is one.
#
# Seen: uuid's validate(), validator's isUUID(), and uuid() of zod and yup want a version from 1 to 8. So a
# Receiver that checks ids with them refuses each message of such a Sender, and none of those that it was
# tried with, whose ids were drawn (version 4). joi, valibot and ajv-formats take them, as do zod's
# guid() and validator's "loose".
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" --silent --no-audit --no-fund install 'uuid@14.0.3' 'validator@13.15.35' \
  'zod@4.6.7' 'yup@1.7.1' 'joi@18.3.2' 'valibot@1.5.0' 'ajv@8.20.0' 'ajv-formats@3.0.1'
cd "$folder"
# Ten years of it, a month apart: what uuid1() would have been then, as SQL Server writes it.
python3 - >ids.txt <<'PYTHON'
from datetime import UTC, datetime, timedelta
from uuid import UUID

BEGINNING = datetime(1582, 10, 15, tzinfo=UTC)  # of the time in UUIDs
for month in range(120):
    then = datetime(2017, 1, 1, tzinfo=UTC) + timedelta(days=30.4 * month)
    ticks = (then - BEGINNING) // timedelta(microseconds=1) * 10
    low, middle, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 | 0x1000
    of_then = UUID(fields=(low, middle, high, 0xB8, 0x20, 0x22489A2C5D))
    assert of_then.version == 1
    print(UUID(bytes=of_then.bytes_le))
PYTHON
cat >judged.mjs <<'NODE'
import Ajv from "ajv";
import formats from "ajv-formats";
import assert from "assert";
import { readFileSync } from "fs";
import Joi from "joi";
import { validate } from "uuid";
import * as v from "valibot";
import validator from "validator";
import * as yup from "yup";
import { z } from "zod";

const FHIR = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;
const byAjv = formats(new Ajv()).compile({ type: "string", format: "uuid" });
const JUDGES = {
  "uuid validate()": [validate, 0],
  "validator isUUID()": [(id) => validator.isUUID(id), 0],
  "zod uuid()": [(id) => z.uuid().safeParse(id).success, 0],
  "yup uuid()": [(id) => yup.string().uuid().isValidSync(id), 0],
  "validator loose": [(id) => validator.isUUID(id, "loose"), 120],
  "zod guid()": [(id) => z.guid().safeParse(id).success, 120],
  "joi uuid()": [(id) => !Joi.string().uuid().validate(id).error, 120],
  "valibot uuid()": [(id) => v.safeParse(v.pipe(v.string(), v.uuid()), id).success, 120],
  "ajv-formats uuid": [byAjv, 120],
};
const ids = readFileSync("ids.txt", "utf8").trim().split("\n");
console.log("from", ids[0], "to", ids.at(-1));
assert.ok(ids.length === 120 && ids.every((id) => FHIR.test(id)));
for (const [name, [judge, expected]] of Object.entries(JUDGES)) {
  const taken = ids.filter((id) => judge(id)).length;
  console.log(name.padEnd(18), "takes", String(taken).padStart(3), "of", ids.length);
  assert.strictEqual(taken, expected, name);
  assert.ok(judge("3f2504e0-4f89-41d3-9a0c-0305e82c3301"), name);
}
NODE
node judged.mjs

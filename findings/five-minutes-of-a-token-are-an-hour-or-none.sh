#!/usr/bin/env bash
# PyJWT 2.15.1 and three others, jsonwebtoken 9.0.3 (npm): a token of five minutes lasts 65, or has expired.
#
# Whoever asks the NHS for an access token signs an assertion that ends (exp) at most five minutes from now:
# one that lasts longer is refused, as is one that is over. To Python a datetime without a zone is local time,
# as its timestamp() says. A setting, or the environment, gives the five minutes as a text, "300". One expects of
# both what they are by then: five minutes from now, 300 seconds, or an error.
#
# Seen: PyJWT, python-jose, joserfc and Authlib take a datetime without a zone for UTC. On a machine in England
# that is right all winter, and it is always right on one that is set to UTC, as containers are; from the last
# Sunday of March each token ends an hour late, and is refused. jsonwebtoken takes the number 300 for seconds,
# and "300" for milliseconds, as its readme says: the token has expired as it is made. fast-jwt 6.3.6 takes
# both for milliseconds, and jose 6.2.18 the number for the moment itself, in 1970; the text is an error there.
# "300s" and "5m" are five minutes with all three.
#
# The gateway counts whole seconds from a moment in UTC (outbound/token.py).
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'PyJWT[crypto]==2.15.1' 'python-jose[cryptography]==3.5.0' 'joserfc==1.8.0' 'Authlib==1.9.10'
npm --prefix "$folder" --silent --no-audit --no-fund install 'jsonwebtoken@9.0.3' 'fast-jwt@6.3.6' 'jose@6.2.18'
cd "$folder"
cat >lasts.py <<'PYTHON'
import base64
import json
import warnings
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

warnings.simplefilter("ignore")  # Authlib's own classes for tokens are to be joserfc's one day
import authlib.jose
import joserfc.jwt
import jose.jwt
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import RSAKey

key = rsa.generate_private_key(65537, 2048)
pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
HEADER = {"alg": "RS512"}
SIGNED = {
    "PyJWT": lambda claims: jwt.encode(claims, pem, "RS512"),
    "python-jose": lambda claims: jose.jwt.encode(claims, pem, "RS512"),
    "joserfc": lambda claims: joserfc.jwt.encode(HEADER, claims, RSAKey.import_key(pem), algorithms=["RS512"]),
    "Authlib": lambda claims: authlib.jose.jwt.encode(HEADER, claims, pem).decode(),
}
SEASONS = {"winter": (datetime(2027, 1, 11, 9, tzinfo=UTC), 5), "summer": (datetime(2027, 7, 12, 9, tzinfo=UTC), 65)}


def ends(token):
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]


for season, (now, expected) in SEASONS.items():
    local = datetime.fromtimestamp(now.timestamp())  # what now() gives then, in England
    end = local + timedelta(minutes=5)
    assert end.timestamp() == now.timestamp() + 300
    for name, sign in SIGNED.items():
        minutes, aware = ((ends(sign({"exp": each})) - now.timestamp()) / 60 for each in (end, end.astimezone()))
        print(f"{season}: {name:11} {version(name):7} {minutes:2.0f} minutes, with a zone {aware:.0f}")
        assert (minutes, aware) == (expected, 5)
PYTHON
cat >lasts.mjs <<'NODE'
import assert from "assert";
import { generateKeyPairSync } from "crypto";
import { createSigner } from "fast-jwt";
import { SignJWT } from "jose";
import jsonwebtoken from "jsonwebtoken";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = privateKey.export({ type: "pkcs8", format: "pem" });
const algorithm = "RS512";
const signed = {
  jsonwebtoken: (expiresIn) => jsonwebtoken.sign({}, privateKey, { algorithm, expiresIn }),
  "fast-jwt": (expiresIn) => createSigner({ key, algorithm, expiresIn })({}),
  jose: (end) => {
    const assertion = new SignJWT().setProtectedHeader({ alg: algorithm }).setIssuedAt();
    return assertion.setExpirationTime(end).sign(privateKey);
  },
};
const ALL = "300 seconds";
const NONE = "no second, or one"; // as a whole second is near
const EXPECTED = {
  jsonwebtoken: [ALL, NONE, ALL, ALL],
  "fast-jwt": [NONE, NONE, ALL, ALL],
  jose: ["till 1970", "an error", ALL, ALL],
};
const ended = async (sign, lasting) => {
  try {
    const { iat, exp } = JSON.parse(Buffer.from((await sign(lasting)).split(".")[1], "base64url"));
    if (exp < iat) return `till ${new Date(exp * 1000).getUTCFullYear()}`;
    return exp - iat < 2 ? NONE : `${exp - iat} seconds`;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return "an error";
  }
};
for (const [name, sign] of Object.entries(signed)) {
  const found = [];
  for (const lasting of [300, "300", "300s", "5m"]) found.push(await ended(sign, lasting));
  console.log(`${name.padEnd(12)} 300: ${found[0]}, "300": ${found[1]}, "300s": ${found[2]}, "5m": ${found[3]}`);
  assert.deepStrictEqual(found, EXPECTED[name]);
}
NODE
TZ=Europe/London venv/bin/python lasts.py
node lasts.mjs

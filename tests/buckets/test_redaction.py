import pytest

from sr2_jax.buckets import redaction
from sr2_jax.buckets import store as store_lib

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY = "AKIA" + "IOSFODNN7EXAMPLE"


@pytest.mark.parametrize(
  "text",
  [
    "Could not connect to https://b.s3.amazonaws.com/a?X-Amz-Signature={}&b=1",
    "GET /b/o?x=1&X-Amz-Security-Token={}&y=2 failed",
    "401, message='{{Authorization: Bearer {}}}'",
    "AWS4-HMAC-SHA256 Credential=A/{}, SignedHeaders=host, Signature={}",
    "headers: {{'Authorization': 'Bearer {}', 'x': 1}}",
    'invalid_grant, {{"access_token": "{}", "scope": "a"}}',
    '\'{{\\"refresh_token\\": \\"{}\\"}}\'',
    "client_secret={}",
    "aws_secret_access_key: {}",
    "password = '{}'",
    "<Error><Signature>{}</Signature><Code>a</Code></Error>",
    "-----BEGIN PRIVATE KEY----- {}",
  ],
)
def test_secrets_are_hidden(text):
  said = str(store_lib.StoreError(text.format(SECRET, SECRET)))
  assert "***" in said or "://" in said
  for start in range(0, len(SECRET) - 8, 8):
    assert SECRET[start : start + 8] not in said


def test_the_password_of_a_url():
  said = redaction.without_secrets("proxy http://me:a%2Fb+c@proxy:8080 is away")
  assert said == "proxy http://proxy:8080 is away"


@pytest.mark.parametrize(
  "text", [KEY, "ya29.a0AfH6SMBx", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.x"]
)
def test_keys_that_no_name_announces(text):
  assert redaction.without_secrets(f"a {text} b") == "a *** b"


@pytest.mark.parametrize(
  "text",
  [
    "SignatureDoesNotMatch: The request signature we calculated does not match",
    "ExpiredToken: The provided token has expired.",
    "InvalidAccessKeyId: The AWS Access Key Id does not exist in our records.",
    "Unable to locate credentials",
    "Partial credentials found in env, missing: aws_secret_access_key",
    "no answer",
    "there is no bucket a-b",
    'Could not connect to the endpoint URL: "http://127.0.0.1:9/a/.mirror/x"',
    "Anonymous caller does not have storage.objects.create access to the b.",
  ],
)
def test_the_rest_is_said_as_it_is(text):
  assert redaction.without_secrets(text) == text

import socket

import pytest

from launch import address as address_lib
from sr2_jax import errors


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379"])
def test_where_nobody_listens(address):
  with pytest.raises(errors.UserError, match="there is no Ray cluster") as no:
    address_lib.check(address)
  assert str(no.value).startswith(f"--address={address}: ")
  assert "\n" not in str(no.value)


def test_where_somebody_may_listen():
  with socket.create_server(("127.0.0.1", 0)) as listener:
    address_lib.check("{}:{}".format(*listener.getsockname()))
  address_lib.check("auto")  # Ray finds it.


def test_an_error_without_words():
  assert "(ValueError)" in str(address_lib.nobody("auto", ValueError()))

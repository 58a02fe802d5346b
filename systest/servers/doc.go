// Package servers installs and starts the real servers that tests run against:
// MinIO, versitygw, fake-gcs-server, Azurite and HashiCorp Vault.
//
// Each is built or fetched once, at a pinned version, into a cache that
// outlives the checkout (Dir). A test that starts one gets it on a free port of
// 127.0.0.1, and it is stopped when the test ends, or when the test's process
// dies. What is missing is installed: no test is left out because of it.
package servers

// Package stores tests the library against real object stores: over bad lines,
// with several writers, and for what it costs in requests.
package stores

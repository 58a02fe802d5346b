// Command install puts the servers that the tests need into the cache, so that
// the tests need not. It takes minutes the first time and nothing after that.
package main

import (
	"fmt"
	"os"

	"github.com/brockdb/brock/systest/servers"
)

func main() {
	if err := servers.All(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

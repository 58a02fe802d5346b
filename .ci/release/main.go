// Command release builds what is published of a version: for each platform an
// archive with the static program, its bill of materials, and the digests of
// all. The same commit and the same Go give the same bytes.
//
//	go run ./.ci/release -version v1.2.3 -time 1765000000 -out dist
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// platforms are those that are published.
const platforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64"

func main() {
	r := release{}
	flag.StringVar(&r.version, "version", "", "version that is built")
	flag.StringVar(&r.out, "out", "dist", "folder to write to")
	flag.StringVar(&r.source, "source", ".", "folder of the checkout")
	stamp := flag.Int64("time", 0, "seconds since 1970 that files are dated with: when the commit was made")
	wanted := flag.String("platforms", platforms, "platforms to build for")
	flag.Parse()
	r.time = time.Unix(*stamp, 0).UTC()
	r.platforms = strings.Split(*wanted, ",")
	if err := r.run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

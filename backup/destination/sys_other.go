//go:build !linux

package destination

import (
	"errors"
	"os"
)

// startWriteback does nothing here: the fsync of Commit does all of it.
func startWriteback(*os.File, int64, int64) error { return nil }

// renameNoReplace does not exist here.
func renameNoReplace(*os.Root, string, string) error { return errors.ErrUnsupported }

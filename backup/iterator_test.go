package backup

import (
	"fmt"
	"io"
	"testing"
)

// TestShortTableIsNoEnd: Badger reports a block that lies beyond the end of a
// short file with an error that wraps io.EOF. It must not count as the table's
// end, which is io.EOF itself.
func TestShortTableIsNoEnd(t *testing.T) {
	if !isEnd(io.EOF) {
		t.Error("the end of every table would be an error")
	}
	if isEnd(fmt.Errorf("failed to read from file: 000001.sst at offset: 0, len: 1 error: %w", io.EOF)) {
		t.Error("a block that cannot be read counts as the end of its table")
	}
}

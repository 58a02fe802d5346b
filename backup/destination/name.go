package destination

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/brockdb/brock/backup/fault"
)

// Limits of names, so that an object fits every backend: S3 and Azure allow
// 1,024 bytes with the prefix, file systems 255 bytes per element.
const (
	maxNameBytes    = 1000
	maxElementBytes = 255
)

// tempPrefix begins the names of files that are being written. CheckName
// refuses it, so no object can be mistaken for one.
const tempPrefix = ".tmp-"

// CheckName returns an error of kind Usage unless name can name an object or a
// folder at every destination: relative, elements separated by "/" and none of
// them empty, "." or "..", valid UTF-8 without control characters or
// backslashes, at most 1,000 bytes, 255 per element. Elements that begin with
// ".tmp-" are reserved for unfinished objects.
func CheckName(name string) error {
	refuse := func(reason string) error {
		return fault.New(fault.Usage, "use object name "+quoteShort(name), "%s", reason)
	}
	switch {
	case name == "":
		return refuse("it is empty")
	case len(name) > maxNameBytes:
		return refuse("it is longer than 1000 bytes")
	case !utf8.ValidString(name):
		return refuse("it is not valid UTF-8")
	case strings.ContainsRune(name, '\\'):
		return refuse("it contains a backslash")
	case strings.ContainsFunc(name, unicode.IsControl):
		return refuse("it contains a control character")
	case name[0] == '/':
		return refuse("it is not relative")
	}
	for element := range strings.SplitSeq(name, "/") {
		switch {
		case element == "":
			return refuse("it has an empty element")
		case element == "." || element == "..":
			return refuse(`it has an element "` + element + `"`)
		case len(element) > maxElementBytes:
			return refuse("it has an element longer than 255 bytes")
		case strings.HasPrefix(element, tempPrefix):
			return refuse(`elements beginning with "` + tempPrefix + `" are reserved`)
		}
	}
	return nil
}

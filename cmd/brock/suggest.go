package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// suggestDistance is how many letters a name may differ in from one that is
// suggested for it.
const suggestDistance = 2

// similarFlag returns the flag of cmd that was probably meant, as it is typed,
// when err is about one that does not exist, else "".
func similarFlag(cmd *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	best, least := "", suggestDistance+1
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if d := editDistance(unknown.GetSpecifiedName(), f.Name); !f.Hidden && d < least && d < len(f.Name) {
			best, least = "--"+f.Name, d
		}
	})
	return best
}

// editDistance is how many letters have to be put in, left out or replaced to
// make b of a (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

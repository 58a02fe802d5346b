package graph

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// What follows reads as much of PromQL as it takes to find mistakes in the rules
// and dashboards of docs/: metrics and labels that do not exist, functions that
// do not, brackets without their other half.

var promTokens = regexp.MustCompile(`^(?:[a-zA-Z_:][a-zA-Z0-9_:]*|"[^"\n]*"|\d+(?:\.\d+)?(?:ms|[smhdwy])?|=~|!~|!=|==|>=|<=|[-+*/%^<>=(){}\[\],@])`)

func promLex(text string) (tokens []string, err error) {
	for {
		text = strings.TrimLeft(text, " \n\t")
		if text == "" {
			return tokens, nil
		}
		token := promTokens.FindString(text)
		if token == "" {
			return nil, fmt.Errorf("%.20q is no PromQL", text)
		}
		tokens = append(tokens, token)
		text = text[len(token):]
	}
}

// promUse is a metric with the labels that an expression matches it by.
type promUse struct {
	metric string
	labels []string
}

var (
	promFunctions  = map[string]bool{"time": true, "rate": true, "increase": true, "changes": true, "sum": true, "max": true, "min": true, "avg": true, "count": true, "histogram_quantile": true, "label_values": true}
	promAggregates = map[string]bool{"sum": true, "max": true, "min": true, "avg": true, "count": true}
	promLists      = map[string]bool{"by": true, "without": true, "on": true, "ignoring": true, "group_left": true, "group_right": true}
	promOperators  = map[string]bool{"and": true, "or": true, "unless": true}
	promName       = regexp.MustCompile(`^[a-zA-Z_:]`)
	promDuration   = regexp.MustCompile(`^\d+(ms|[smhdwy])$`)
)

// promUses returns the metrics of an expression, and all labels that it groups by.
func promUses(text string) (uses []promUse, grouped []string, err error) {
	tokens, err := promLex(text)
	if err != nil {
		return nil, nil, err
	}
	var open []string
	closing := map[string]string{")": "(", "}": "{", "]": "["}
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	for i := 0; i < len(tokens); i++ {
		token := tokens[i]
		switch {
		case token == "(":
			open = append(open, token)
		case closing[token] != "":
			if len(open) == 0 || open[len(open)-1] != closing[token] {
				return nil, nil, fmt.Errorf("%q closes nothing", token)
			}
			open = open[:len(open)-1]
		case token == "[":
			if !promDuration.MatchString(at(i+1)) || at(i+2) != "]" {
				return nil, nil, errors.New("a range is no duration")
			}
			i += 2
		case promLists[token]:
			if at(i+1) != "(" {
				return nil, nil, fmt.Errorf("%s has no list", token)
			}
			for i += 2; at(i) != ")"; i++ {
				if at(i) == "" {
					return nil, nil, fmt.Errorf("%s has no end", token)
				}
				if at(i) != "," {
					grouped = append(grouped, at(i))
				}
			}
		case promOperators[token] || !promName.MatchString(token):
		case at(i+1) == "(" || promAggregates[token] && promLists[at(i+1)]:
			if !promFunctions[token] {
				return nil, nil, fmt.Errorf("there is no function %s", token)
			}
		default:
			use := promUse{metric: token}
			if at(i+1) == "{" {
				for i += 2; at(i) != "}"; i += 3 {
					if !promName.MatchString(at(i)) || !strings.Contains("= != =~ !~", at(i+1)) || !strings.HasPrefix(at(i+2), `"`) {
						return nil, nil, fmt.Errorf("the labels of %s are wrong", token)
					}
					use.labels = append(use.labels, at(i))
					if at(i+3) == "," {
						i++
					}
				}
			}
			uses = append(uses, use)
		}
	}
	if len(open) > 0 {
		return nil, nil, errors.New("a bracket is not closed")
	}
	if len(uses) == 0 {
		return nil, nil, errors.New("it is about no metric")
	}
	return uses, grouped, nil
}

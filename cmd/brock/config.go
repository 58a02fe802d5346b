package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/brockdb/brock/backup/fault"
)

// configFlag names the file that sets flags.
const configFlag = "config"

// everyCommand is the section of a configuration file for all commands that
// have a flag of that name.
const everyCommand = "all"

// config holds the values of a configuration file, a list of texts each, by
// section and flag. A section is named by the command's path without "brock".
type config struct {
	file     string
	sections map[string]map[string][]string
}

// readConfig reads the file that --config or its variable names; without one it
// returns an empty config. All of it must be right, whatever cmd is.
func readConfig(cmd *cobra.Command) (*config, error) {
	c := &config{sections: map[string]map[string][]string{}}
	if c.file = cmd.Flag(configFlag).Value.String(); c.file == "" {
		c.file = os.Getenv(variable(configFlag))
	}
	if c.file == "" {
		return c, nil
	}
	f, err := os.Open(c.file)
	if err != nil {
		return nil, fault.Wrap(err, "read configuration")
	}
	defer f.Close() // only read
	var document yaml.Node
	if err := yaml.NewDecoder(f).Decode(&document); errors.Is(err, io.EOF) {
		return c, nil // an empty file
	} else if err != nil {
		return nil, fault.New(fault.Usage, "read configuration "+c.file, "it is not YAML: %w", err)
	}
	if err := c.commands(cmd.Root(), document.Content[0]); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *config) refuse(node *yaml.Node, cause string, args ...any) *fault.Error {
	return fault.New(fault.Usage, fmt.Sprintf("use configuration %s line %d", c.file, node.Line), cause, args...)
}

// commands reads the sections below parent, which node holds.
func (c *config) commands(parent *cobra.Command, node *yaml.Node) error {
	return c.members(node, func(key, value *yaml.Node) error {
		if parent == parent.Root() && key.Value == everyCommand {
			return c.section(everyCommand, value, func(flag string) bool { return anyHas(parent, flag) })
		}
		for _, cmd := range parent.Commands() {
			if cmd.Name() != key.Value {
				continue
			}
			if cmd.HasSubCommands() {
				return c.commands(cmd, value)
			}
			return c.section(sectionOf(cmd), value, func(flag string) bool { return settable(cmd, flag) })
		}
		return c.refuse(key, "there is no command %q", key.Value).
			WithHint("a section is a command, or %q for all of them; in it stand flags without their dashes", everyCommand)
	})
}

// section reads the flags of one section.
func (c *config) section(name string, node *yaml.Node, known func(flag string) bool) error {
	flags := map[string][]string{}
	c.sections[name] = flags
	return c.members(node, func(key, value *yaml.Node) error {
		if !known(key.Value) {
			return c.refuse(key, "section %s has no flag %q", name, key.Value)
		}
		var err error
		flags[key.Value], err = c.values(value)
		return err
	})
}

// members calls visit for each member of a mapping, none of which may come twice.
func (c *config) members(node *yaml.Node, visit func(key, value *yaml.Node) error) error {
	if node.Tag == "!!null" {
		return nil // a section with nothing in it
	}
	if node.Kind != yaml.MappingNode {
		return c.refuse(node, "here must stand names with their values")
	}
	var seen []string
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if slices.Contains(seen, key.Value) {
			return c.refuse(key, "%q is here twice", key.Value)
		}
		seen = append(seen, key.Value)
		if err := visit(key, node.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// values returns a scalar as one text, and a list of scalars as several.
func (c *config) values(node *yaml.Node) ([]string, error) {
	switch {
	case node.Kind == yaml.ScalarNode && node.Tag != "!!null":
		return []string{node.Value}, nil
	case node.Kind == yaml.SequenceNode:
		var all []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, c.refuse(item, "a list holds texts, numbers and switches only")
			}
			all = append(all, item.Value)
		}
		return all, nil
	}
	return nil, c.refuse(node, "the value is neither a text, a number, a switch nor a list")
}

// use sets a flag of cmd as the file says, if it says so.
func (c *config) use(cmd *cobra.Command, f *pflag.Flag) error {
	values, found := c.sections[sectionOf(cmd)][f.Name]
	if !found {
		values, found = c.sections[everyCommand][f.Name]
	}
	if !found {
		return nil
	}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		f.Changed = true
		return c.explain(f, list.Replace(values))
	}
	if len(values) != 1 {
		return c.explain(f, errors.New("it takes one value, and a list is given"))
	}
	return c.explain(f, cmd.Flags().Set(f.Name, values[0]))
}

func (c *config) explain(f *pflag.Flag, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Usage, "use "+f.Name+" of configuration "+c.file, "%w", err)
}

// sectionOf is the command's path without the program.
func sectionOf(cmd *cobra.Command) string {
	_, path, _ := strings.Cut(cmd.CommandPath(), " ")
	return path
}

// settable reports whether a file may set a flag of cmd.
func settable(cmd *cobra.Command, flag string) bool {
	return flag != "help" && cmd.Flags().Lookup(flag) != nil && cmd.InheritedFlags().Lookup(flag) == nil
}

// anyHas reports whether a command below parent has a flag.
func anyHas(parent *cobra.Command, flag string) bool {
	return slices.ContainsFunc(parent.Commands(), func(cmd *cobra.Command) bool {
		return settable(cmd, flag) || anyHas(cmd, flag)
	})
}

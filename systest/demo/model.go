package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
)

// model is what was acknowledged: collection -> key -> JSON value.
type model map[string]map[string]string

func (m model) clone() model {
	c := make(model, len(m))
	for name, records := range m {
		c[name] = maps.Clone(records)
	}
	return c
}

// dump returns what a dump of a collection must be, byte for byte.
func (m model) dump(collection string) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, key := range slices.Sorted(maps.Keys(m[collection])) {
		line := struct {
			Key   string          `json:"key"`
			Value json.RawMessage `json:"value"`
		}{key, json.RawMessage(m[collection][key])}
		if err := enc.Encode(line); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// readCities returns the records of the data set.
func readCities(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w (run the demo in the root of the project)", err)
	}
	defer f.Close() // only read
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	cities := make(map[string]string)
	lines := bufio.NewScanner(zip)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var rec struct {
			Key   string          `json:"key"`
			Value json.RawMessage `json:"value"`
		}
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			return nil, err
		}
		cities[rec.Key] = string(rec.Value)
	}
	return cities, lines.Err()
}

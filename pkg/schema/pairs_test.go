package schema

import (
	"strings"
	"testing"

	"eventshop.example/pkg/event/sample"
)

func mustParse(t *testing.T, text string) *node {
	t.Helper()
	s, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s.root
}

func TestRecursive(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`"int"`: false,
		`{"type":"record","name":"r","fields":[{"name":"next","type":["null","r"]}]}`:                                                                                                   true,
		`{"type":"array","items":{"type":"record","name":"r","fields":[{"name":"all","type":{"type":"map","values":"r"}}]}}`:                                                            true,
		`{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"record","name":"s","fields":[]}},{"name":"b","type":"s"}]}`:                                                  false,
		`{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"enum","name":"e","symbols":["A"]}},{"name":"b","type":["e","null"]},{"name":"c","type":["null","e"]}]}`:      false,
		`{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"record","name":"s","fields":[]}},{"name":"b","type":"s"},{"name":"c","type":{"type":"array","items":"r"}}]}`: true,
	} {
		if got := mustParse(t, text).recursive(); got != want {
			t.Errorf("recursive = %v of %s", got, text)
		}
	}
}

// Bytes are checked like texts when the reader has no bytes to read them as.
func TestBytesThatAreReadAsTexts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reader, writer string
		want           int
	}{
		{`"string"`, `"bytes"`, 1},
		{`"bytes"`, `"bytes"`, 0},
		{`"bytes"`, `"string"`, 0},
		{`["null","string"]`, `["bytes","null"]`, 1},
		{`["string","bytes"]`, `["bytes"]`, 0},
		{`["string","bytes"]`, `"bytes"`, 0},
		{`{"type":"map","values":"string"}`, `{"type":"map","values":"bytes"}`, 1},
		{`{"type":"array","items":"string"}`, `{"type":"array","items":["bytes","string"]}`, 1},
	} {
		p := comparePairs(mustParse(t, c.reader), mustParse(t, c.writer), false)
		if len(p.found) != 0 || len(p.texts) != c.want {
			t.Errorf("%s read as %s: %d texts, %v, want %d", c.writer, c.reader, len(p.texts), p.found, c.want)
		}
	}
}

// The library must stop reading where scan stopped.
func TestUnmarshalOfMoreThanAValue(t *testing.T) {
	t.Parallel()
	typ := sample.TypeOf[sample.ParcelNoted]()
	s, err := parse(typ.Schema)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := resolve(s, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := unmarshal(dec, []byte("\x02o\x02"), typ.New()); err != nil {
		t.Error(err)
	}
	if err := unmarshal(dec, []byte("\x02o\x02\x00"), typ.New()); err == nil || !strings.Contains(err.Error(), "1 bytes after") {
		t.Errorf("a byte more: %v", err)
	}
}

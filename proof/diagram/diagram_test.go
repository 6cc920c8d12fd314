package diagram_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"eventshop.example/proof/diagram"
)

func TestText(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	err := diagram.Text(&got, []string{"ann", "bob"}, []diagram.Line{
		{From: 0, To: 1, Text: "hello", Effect: "bob glad"},
		{From: 1, To: 1, Text: "falls asleep", Fault: true},
	})
	want := "  1   ann → bob: hello\n          bob glad\n  2 ! bob: falls asleep\n"
	if err != nil || got.String() != want {
		t.Errorf("%v\n%swant\n%s", err, got.String(), want)
	}
}

// TestSVGIsWellFormed: text from a table cannot break out of the drawing.
func TestSVGIsWellFormed(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	err := diagram.SVG(&got, "a < b", `"c" & d`, []string{"<x>", "y"}, []diagram.Line{
		{From: 1, To: 0, Text: "</svg>", Effect: "<script>", Fault: true},
		{From: 0, To: 0, Text: strings.Repeat("wide ", 200)},
	})
	if err != nil {
		t.Fatal(err)
	}
	elements := map[string]int{}
	d := xml.NewDecoder(&got)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			elements[e.Name.Local]++
		}
	}
	if elements["svg"] != 1 || elements["script"] != 0 || elements["path"] != 1 || elements["circle"] != 1 {
		t.Errorf("elements: %v", elements)
	}
}

package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sagas is a result of two rounds of two sides, and of a side with one quantity.
func sagas() *Result {
	r := New("sagas", "whole orders & their cost", Ours, "92acbca", "script")
	r.Row("confirmed", "orders/s", Rate).Add(Ours, 300).Add(Ours, 200).Add("92acbca", 100).Add("92acbca", 50).Aim("≥ 3")
	r.Row("statements", "per saga", Count).Add(Ours, 22).Add(Ours, 20.5).Add("92acbca", 98).Add("92acbca", 99)
	r.Row("log written", "kB per saga", Count).Add(Ours, 33).Add(Ours, 33).Add("script", 30).Add("script", 30)
	return r
}

// words returns the lines of a text with one space between words.
func words(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) > 0 {
			lines = append(lines, strings.Join(w, " "))
		}
	}
	return lines
}

func TestTableShowsMediansRangesAndPairedRatios(t *testing.T) {
	t.Parallel()
	r := sagas()
	r.Note("fixed rate")
	var out strings.Builder
	if err := Table(&out, r); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"sagas: whole orders & their cost",
		"ours 92acbca script ours/92acbca ours/script target",
		"confirmed, orders/s 250 (200–300) 75 (50–100) 3.50 (3–4) ≥ 3",
		"statements, per saga 21.2 (20.5–22) 98.5 (98–99) 0.22 (0.21–0.22)",
		"log written, kB per saga 33 30 1.10",
		"- fixed rate",
	}
	got := words(out.String())
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

// Work that is done wrong has no speed, wherever the result is shown.
func TestRatesAreWithheldAfterABreach(t *testing.T) {
	t.Parallel()
	r := sagas()
	r.Withhold("verify found a breach: I1 money")
	var table, plot strings.Builder
	if err := errors.Join(Table(&table, r), Plot(&plot, r)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Write(dir, r, Conditions{}); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(dir, "sagas.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "withheld") || !strings.Contains(table.String(), "I1 money") {
		t.Errorf("the table does not say why:\n%s", table.String())
	}
	for where, text := range map[string]string{"table": table.String(), "plot": plot.String(), "JSON": string(written)} {
		if where != "table" && strings.Contains(text, "orders/s") || strings.Contains(text, "200–300") {
			t.Errorf("the %s shows a rate:\n%s", where, text)
		}
		if !strings.Contains(text, "98") {
			t.Errorf("the %s shows no counts", where)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "results")
	r := sagas()
	r.Row("missing", "ms", Time).Add(Ours, math.NaN()).Add("92acbca", 7)
	if err := Write(dir, r, Conditions{Machine: "2 cores", Settings: map[string]string{"fsync": "on"}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "sagas.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Machine  string
		Settings map[string]string
		Rows     []Row
		Ratios   map[string]map[string]struct{ Median, Min, Max float64 }
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if got := doc.Ratios["confirmed"]["92acbca"]; got.Median != 3.5 || got.Min != 3 || got.Max != 4 {
		t.Errorf("ratio %+v, want 3.5 from 3 to 4", got)
	}
	if doc.Machine != "2 cores" || doc.Settings["fsync"] != "on" || len(doc.Rows) != 4 || doc.Rows[1].Values[Ours][1] != 20.5 {
		t.Errorf("got %+v", doc)
	}
	if _, ok := doc.Ratios["missing"]; ok {
		t.Error("there is a ratio of nothing")
	}
}

func TestPlotIsXMLWithABarPerSide(t *testing.T) {
	t.Parallel()
	r := sagas()
	r.Row("only ours", "ms", Time).Add(Ours, 5)
	var out strings.Builder
	if err := Plot(&out, r); err != nil {
		t.Fatal(err)
	}
	bars := map[string]string{}
	var texts []string
	decoder := xml.NewDecoder(strings.NewReader(out.String()))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		switch token := token.(type) {
		case xml.CharData:
			texts = append(texts, string(token))
		case xml.StartElement:
			at := map[string]string{}
			for _, a := range token.Attr {
				at[a.Name.Local] = a.Value
			}
			if token.Name.Local == "rect" && at["y"] != "" {
				bars[at["y"]] = at["width"]
			}
		}
	}
	// The longest round has the full width, which is 380.
	if len(bars) != 6 || bars["64"] != "316.7" || bars["80"] != "95.0" {
		t.Errorf("bars %v: want six, the first of 250/300 and the second of 75/300 of the width", bars)
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"whole orders & their cost", "92acbca: 75 (50–100)", "log written, kB per saga"} {
		if !strings.Contains(all, want) {
			t.Errorf("the plot does not say %q", want)
		}
	}
	if strings.Contains(all, "only ours") {
		t.Error("a quantity without a comparison has a bar")
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		limit Limit
		want  string
	}{
		{"holds", Limit{What: "statements", Most: 22}, ""},
		{"too many", Limit{What: "statements", Most: 21, Why: "nine per batch"}, "statements is 21.2, at most 21 (nine per batch)"},
		{"too few", Limit{What: "statements", Least: 30}, "at least 30"},
		{"ratio holds", Limit{What: "log written", Over: "script", Most: 1.15}, ""},
		{"ratio too high", Limit{What: "log written", Over: "script", Most: 1.05}, "ours/script is 1.10, at most 1.05"},
		{"ratio of rates", Limit{What: "confirmed", Over: "92acbca", Least: 4}, "ours/92acbca is 3.50, at least 4"},
		{"a rate alone", Limit{What: "confirmed", Least: 1}, "no limit's business"},
		{"not measured", Limit{What: "commits", Most: 2}, "commits was not measured"},
		{"no such side", Limit{What: "statements", Over: "script", Most: 2}, "was not measured"},
		{"another benchmark", Limit{Bench: "post", What: "statements", Most: 1}, ""},
	} {
		if test.limit.Bench == "" {
			test.limit.Bench = "sagas"
		}
		got := strings.Join(Gate([]Limit{test.limit}, []*Result{sagas()}), "\n")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	broken := sagas()
	broken.Withhold("verify found a breach")
	if got := Gate(nil, []*Result{broken}); len(got) != 1 {
		t.Errorf("a breach of an invariant passes: %q", got)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 3: "3", .123: "0.12", 9.876: "9.88", 12.34: "12.3", 123.4: "123", 54020.7: "54021", -1.5: "-1.50", .0123: "0.0123"} {
		if got := Number(v); got != want {
			t.Errorf("Number(%v) is %s, want %s", v, got, want)
		}
	}
	if got := Number(math.NaN()); got != "-" {
		t.Errorf("NaN is %q", got)
	}
}

// Where a line cannot be rewritten, each step has one, and notes come rarely.
func TestProgressOnAFile(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "progress"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := NewProgress(f)
	p.Step("sagas, round %d", 1)
	for i := range 1000 {
		p.Note("%d orders", i)
	}
	p.Step("verify")
	p.Clear()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(words(string(b)), "\n"), "0s sagas, round 1\n0s verify"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTheFirstSideIsMeasured: a result whose sides have names of their own is compared like one of ours.
func TestTheFirstSideIsMeasured(t *testing.T) {
	t.Parallel()
	r := New("styles", "", "orchestrated", "choreographed")
	r.Row("records", "per order", Count).Add("orchestrated", 14).Add("choreographed", 10)
	var out bytes.Buffer
	if err := Table(&out, r); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "orchestrated/choreographed") || !strings.Contains(text, "1.40") {
		t.Errorf("the table has no ratio:\n%s", text)
	}
	holds := []Limit{{Bench: "styles", What: "records", Most: 14, Least: 14}, {Bench: "styles", What: "records", Over: "choreographed", Most: 1.4}}
	if broken := Gate(holds, []*Result{r}); len(broken) > 0 {
		t.Errorf("limits that hold are broken: %v", broken)
	}
	fails := []Limit{{Bench: "styles", What: "records", Most: 13}, {Bench: "styles", What: "records", Over: "choreographed", Most: 1.3}}
	if broken := Gate(fails, []*Result{r}); len(broken) != 2 {
		t.Errorf("got %v, want two broken limits", broken)
	}
}

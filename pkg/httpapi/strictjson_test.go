package httpapi

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"eventshop.example/pkg/errs"
)

func TestStrictRefuses(t *testing.T) {
	tests := map[string]struct{ data, field, detail string }{
		"empty":                    {"", "", "ends where"},
		"only space":               {" \n", "", "ends where"},
		"trailing data":            {`{"a":1} {}`, "", "more data"},
		"trailing comma, object":   {`{"a":1,}`, "", "not valid JSON"},
		"trailing comma, array":    {`{"a":[1,]}`, "a[1]", "not valid JSON"},
		"leading comma":            {`[,1]`, "[0]", "not valid JSON"},
		"cut object":               {`{"a":{"b":`, "a.b", "ends where"},
		"cut string":               {`{"a":"x`, "a", "ends where"},
		"cut array":                {`[1`, "", "ends where"},
		"no colon":                 {`{"a" 1}`, "a", "':'"},
		"unquoted name":            {`{a:1}`, "", "the name of a field"},
		"leading zero":             {`{"a":01}`, "", "',' or '}'"},
		"plus sign":                {`{"a":+1}`, "a", "a JSON value"},
		"bare point":               {`{"a":1.}`, "a", "a digit"},
		"bare exponent":            {`{"a":1e}`, "a", "a digit"},
		"NaN":                      {`{"a":NaN}`, "a", "a JSON value"},
		"literal cut":              {`tru`, "", "a JSON value"},
		"byte order mark":          {"\ufeff{}", "", "a JSON value"},
		"duplicate":                {`{"a":1,"b":2,"a":3}`, "a", "more than once"},
		"duplicate, nested":        {`{"items":[{},{"sku":"x","sku":"y"}]}`, "items[1].sku", "more than once"},
		"duplicate by escape":      {`{"sku":1,"\u0073ku":2}`, "sku", "more than once"},
		"NUL, raw":                 {"{\"a\":\"x\x00\"}", "a", "NUL"},
		"NUL, escaped":             {`{"a":["x","\u0000"]}`, "a[1]", "NUL"},
		"NUL in a name":            {`{"a":{"\u0000":1}}`, "a", "NUL"},
		"NUL between tokens":       {"{\x00}", "", "not valid JSON"},
		"control character":        {"{\"a\":\"x\ny\"}", "a", "control character"},
		"invalid UTF-8":            {"{\"a\":\"\xff\"}", "a", "not valid UTF-8"},
		"overlong UTF-8":           {"{\"a\":\"\xc0\x80\"}", "a", "not valid UTF-8"},
		"invalid UTF-8 in a name":  {"{\"a\":{\"\xff\":1}}", "a", "not valid UTF-8"},
		"high surrogate alone":     {`{"a":"\ud800"}`, "a", "surrogate"},
		"high surrogate, no low":   {`{"a":"\ud800\u0041"}`, "a", "surrogate"},
		"low surrogate alone":      {`{"a":"\udc00"}`, "a", "surrogate"},
		"bad escape":               {`{"a":"\x41"}`, "a", "an escape"},
		"bad hex":                  {`{"a":"\u12G4"}`, "a", "hexadecimal"},
		"escape at the end":        {`{"a":"\`, "a", "an escape"},
		"one level too deep":       {strings.Repeat("[", 65) + strings.Repeat("]", 65), strings.Repeat("[0]", 64), "deeper than 64"},
		"a bomb of open brackets":  {strings.Repeat("[", MaxBody), strings.Repeat("[0]", 64), "deeper than 64"},
		"deep objects":             {strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), strings.Repeat("a.", 63) + "a", "deeper than 64"},
		"a long name is shortened": {`{"` + strings.Repeat("ü", 1000) + `":x}`, strings.Repeat("ü", 50) + "…", "a JSON value"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := strict([]byte(tt.data))
			if errs.KindOf(err) != errs.Invalid {
				t.Fatalf("error %v, want one of kind invalid", err)
			}
			got := errs.Fields(err)
			if len(got) != 1 || got[0].Field != tt.field || !strings.Contains(got[0].Detail, tt.detail) {
				t.Errorf("got %+v, want field %q and a detail with %q", got, tt.field, tt.detail)
			}
		})
	}
}

func TestStrictAccepts(t *testing.T) {
	for _, data := range []string{
		`{}`, `[]`, ` [ ] `, `null`, `true`, `-0`, `0.5e-10`, `1E+400`, `"\ud83d\ude00 \"\\\/\b\f\n\r\t"`,
		`{"a":{"a":1},"b":[{"a":1},{"a":2}],"":0}`, "\t{\"a\" :\r\n1 , \"b\": []}", "\"\u007f\u2028\ufeff\"",
		strings.Repeat("[", 64) + strings.Repeat("]", 64),
	} {
		if err := strict([]byte(data)); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
}

func TestFieldAt(t *testing.T) {
	data := `{"items":[{"quantity":1},{"quantity":12345,"sku":"x"}],"total":{"amount":7}}`
	for text, want := range map[string]string{
		"12345": "items[1].quantity", `"x"`: "items[1].sku", "7": "total.amount", "1}": "items[0].quantity",
	} {
		end := strings.Index(data, text) + len(strings.TrimRight(text, "}"))
		if got := fieldAt([]byte(data), int64(end)); got != want {
			t.Errorf("field at the end of %s is %q, want %q", text, got, want)
		}
	}
	if got := fieldAt([]byte(data), 1_000_000); got != "" {
		t.Errorf("field %q beyond the data", got)
	}
}

// FuzzStrict compares the scanner with encoding/json: what the scanner accepts is valid there, and
// what it refuses is invalid there or breaks one of the scanner's own rules.
func FuzzStrict(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5e3,"x\u00e9",null,true]}`, `{"a":1,"a":2}`, `"\ud800"`, `[1,]`, "\"\xff\"", `{"a":{}}x`, `-`, `01`, "\x00", `"\u0000"`,
	} {
		f.Add([]byte(seed))
	}
	own := []string{"more than once", "NUL", "UTF-8", "surrogate", "deeper than"}
	f.Fuzz(func(t *testing.T, data []byte) {
		err, valid := strict(data), json.Valid(data)
		if err == nil {
			if !valid || !utf8.Valid(data) {
				t.Fatalf("accepted %q", data)
			}
			return
		}
		if !valid {
			return
		}
		for _, rule := range own {
			if strings.Contains(err.Error(), rule) {
				return
			}
		}
		t.Fatalf("refused %s: %v", strconv.Quote(string(data)), err)
	})
}

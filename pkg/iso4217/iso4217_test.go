package iso4217_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/currency"

	"eventshop.example/pkg/iso4217"
)

// TestAmendments checks the changes of the last years' amendments, with their dates.
func TestAmendments(t *testing.T) {
	t.Parallel()
	for _, code := range strings.Fields("MRU STN VES VED SLE ZWG XCG SVC EUR GBP JPY KWD XAF XCD XOF XPF") {
		if !iso4217.Tender(code) {
			t.Errorf("%s is refused", code)
		}
	}
	for code, why := range map[string]string{
		"MRO": "left 2018", "STD": "left 2018", "VEF": "left 2018", "CUC": "left 2021", "HRK": "left 2023", "SLL": "left 2024",
		"ZWL": "left 2024", "ANG": "left 2025", "BGN": "left 2026", "DEM": "left 2002",
		"CHE": "a funds code", "CHW": "a funds code", "CLF": "a funds code", "USN": "a funds code", "UYI": "a funds code",
		"XAU": "a metal", "XDR": "a unit of account", "XAD": "a unit of account", "XTS": "for tests", "XXX": "no currency",
		"eur": "lower case", "": "nothing", "ABC": "unknown", "EURO": "unknown", "tender": "no code", "code": "the header",
	} {
		if iso4217.Tender(code) {
			t.Errorf("%q is accepted: it is %s", code, why)
		}
	}
}

// TestDigits lists every code whose minor unit is not a hundredth.
func TestDigits(t *testing.T) {
	t.Parallel()
	want := map[string]int{"CLF": 4, "UYW": 4}
	for _, code := range strings.Fields("BHD IQD JOD KWD LYD OMR TND") {
		want[code] = 3
	}
	for _, code := range strings.Fields("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF") {
		want[code] = 0
	}
	for _, l := range lines(t) {
		digits, ok := want[l.code]
		if !ok {
			digits = 2
		}
		if got := iso4217.Digits(l.code); got != digits {
			t.Errorf("%s has %d digits, want %d", l.code, got, digits)
		}
		delete(want, l.code)
	}
	if len(want) > 0 {
		t.Errorf("not in the list: %v", want)
	}
	if got := iso4217.Digits("ZZZ"); got != 2 {
		t.Errorf("an unknown code has %d digits, want 2", got)
	}
}

// TestWhatWasAcceptedCanBeRead: releases before this list accepted the legal tender of
// golang.org/x/text's currency data (of 2017), so orders in these currencies exist.
func TestWhatWasAcceptedCanBeRead(t *testing.T) {
	t.Parallel()
	known := map[string]line{}
	for _, l := range lines(t) {
		known[l.code] = l
	}
	n := 0
	for it := currency.Query(); it.Next(); n++ {
		code := it.Unit().String()
		if l, ok := known[code]; !ok || l.kind != "tender" && l.kind != "withdrawn" {
			t.Errorf("%s was accepted once and is %+v", code, l)
		}
	}
	if n < 150 {
		t.Errorf("only %d currencies were compared", n)
	}
}

// TestListIsWellFormed: a mistake in a line would refuse a currency, or change an amount by a
// factor of a hundred.
func TestListIsWellFormed(t *testing.T) {
	t.Parallel()
	asOf, err := time.Parse(time.DateOnly, iso4217.AsOf)
	if err != nil {
		t.Fatal(err)
	}
	all := lines(t)
	if !slices.IsSortedFunc(all, func(a, b line) int { return strings.Compare(a.code, b.code) }) {
		t.Error("the list is not sorted by code")
	}
	kinds := map[string]int{}
	for i, l := range all {
		if !regexp.MustCompile(`^[A-Z]{3}$`).MatchString(l.code) || i > 0 && all[i-1].code == l.code {
			t.Errorf("%q is no code, or twice in the list", l.code)
		}
		if ok := regexp.MustCompile(`^[0-4]$`).MatchString(l.digits); !ok && (l.digits != "" || l.kind == "tender") {
			t.Errorf("%s has %q digits", l.code, l.digits)
		}
		kinds[l.kind]++
		until, err := time.Parse(time.DateOnly, l.until)
		switch {
		case (l.kind == "withdrawn") != (l.until != ""):
			t.Errorf("%s is %s, until %q", l.code, l.kind, l.until)
		case l.until != "" && (err != nil || !until.Before(asOf)):
			t.Errorf("%s was withdrawn on %q (%v), and the list is of %s", l.code, l.until, err, iso4217.AsOf)
		}
	}
	// The numbers are list one's of that date: 155 currencies, and the rest of its codes.
	want := "map[fund:9 metal:4 none:1 tender:155 test:1 unit:8 withdrawn:9]"
	if got := fmt.Sprint(kinds); got != want {
		t.Errorf("kinds %s, want %s", got, want)
	}
}

type line struct{ code, digits, kind, until string }

func lines(t *testing.T) []line {
	t.Helper()
	b, err := os.ReadFile("currencies.csv")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if text[0] != "code,digits,kind,until" {
		t.Fatalf("the list begins with %q", text[0])
	}
	var all []line
	for _, s := range text[1:] {
		f := strings.Split(s, ",")
		if len(f) != 4 {
			t.Fatalf("%q is no line of the list", s)
		}
		all = append(all, line{f[0], f[1], f[2], f[3]})
	}
	return all
}

func ExampleDigits() {
	fmt.Println(iso4217.Digits("GBP"), iso4217.Digits("JPY"), iso4217.Digits("KWD"))
	fmt.Println(iso4217.Tender("HRK"), iso4217.Digits("HRK"))
	// Output:
	// 2 0 3
	// false 2
}

func ExampleDecimal() {
	fmt.Println(iso4217.Decimal("2999", "GBP"), iso4217.Decimal("40", "JPY"), iso4217.Decimal("-5", "KWD"))
	// Output: 29.99 40 -0.005
}

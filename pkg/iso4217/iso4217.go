// Package iso4217 is the list of currency codes of ISO 4217, as of [AsOf].
//
// It guarantees that [Tender] accepts exactly the codes that the standard lists as legal tender
// somewhere at that date. It guarantees that the result of [Digits] for a listed code never
// changes, so that stored money can be read after its currency has ended. It contains no names, no
// countries and no rates, and reads no clock: a release adds or removes a currency.
//
// Codes that are no legal tender are refused, because no card is charged in them: funds codes (CHE,
// CLF, USN), units of account (XDR, XAD), metals (XAU), the codes for tests and for no currency
// (XTS, XXX), and currencies that were withdrawn (HRK).
//
// # How to update the list
//
// The maintenance agency, SIX, publishes the current list ("list one") and each amendment
// with its date: https://www.six-group.com/en/products-services/financial-information/data-standards.html.
// All of it is in currencies.csv:
//
//   - a new currency is a new line with its digits and the kind "tender";
//   - a currency that ended becomes "withdrawn", with its last day as legal tender. Its line and
//     its digits stay, because orders in it exist;
//   - digits never change after a release: amounts are stored in minor units, and other digits
//     would change the amounts. The standard assigns a new code when money is redenominated (SLL,
//     SLE).
//
// Then [AsOf] becomes the date of the amendment, and the tests list its changes.
package iso4217

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// AsOf is the date of the list: amendments that take effect later are not in it.
const AsOf = "2026-01-01"

// usual is the number of digits of a code without digits in the list, or not in the list.
const usual = 2

//go:embed currencies.csv
var list string

type currency struct {
	digits int
	tender bool
}

// currencies reads the list: a header, then "code,digits,kind,until". Codes without digits in the
// standard (metals, units of account) have the usual ones.
var currencies = sync.OnceValue(func() map[string]currency {
	all := map[string]currency{}
	for i, line := range strings.Split(strings.TrimSuffix(list, "\n"), "\n") {
		fields := strings.Split(line, ",")
		if i == 0 || len(fields) != 4 {
			continue // the tests check the format of every line
		}
		c := currency{digits: usual, tender: fields[2] == "tender"}
		if n, err := strconv.Atoi(fields[1]); err == nil {
			c.digits = n
		}
		all[fields[0]] = c
	}
	return all
})

// Tender reports whether code is the code, in upper case, of a currency that is legal
// tender somewhere.
func Tender(code string) bool { return currencies()[code].tender }

// Digits returns the number of decimals of the minor unit: 2 for GBP, 0 for JPY, 3 for KWD.
// Withdrawn currencies keep theirs. A code that is not in the list has 2.
func Digits(code string) int {
	c, ok := currencies()[code]
	if !ok {
		return usual
	}
	return c.digits
}

// Decimal adds the decimal point to an amount of minor units, which is written as a decimal integer
// of any size: Decimal("2999", "GBP") is "29.99". The result always has all the currency's
// decimals.
func Decimal(minor, code string) string {
	text, negative := strings.CutPrefix(minor, "-")
	sign := ""
	if negative {
		sign = "-"
	}
	scale := Digits(code)
	if scale == 0 {
		return sign + text
	}
	if missing := scale + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	point := len(text) - scale
	return sign + text[:point] + "." + text[point:]
}

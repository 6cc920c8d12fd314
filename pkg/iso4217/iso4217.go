// Package iso4217 is the list of currency codes of ISO 4217, as of [AsOf].
//
// It guarantees that [Tender] accepts what the standard lists as legal tender somewhere at
// that date and nothing else, and that [Digits] answers for ever for what it has once
// answered for: money that was written down in a currency can be read when the currency is
// gone. It knows no names, no countries and no rates, and reads no clock: a currency enters
// and leaves with a release.
//
// What is no legal tender is refused, because no card is charged in it: funds codes (CHE,
// CLF, USN), units of account (XDR, XAD), metals (XAU), the codes for tests and for no
// currency (XTS, XXX), and currencies that were withdrawn (HRK).
//
// # How to update the list
//
// The maintenance agency, SIX, publishes the current list ("list one") and each amendment
// with its date: https://www.six-group.com/en/products-services/financial-information/data-standards.html.
// All of it is in currencies.csv:
//
//   - a new currency is a new line with its digits and the kind "tender";
//   - a currency that left becomes "withdrawn", with its last day as legal tender. Its line
//     and its digits stay, since orders in it exist;
//   - digits never change once a release had them: amounts are stored in minor units, and
//     other digits would make other amounts of them. The standard gives a new code where
//     money is renamed (SLL, SLE).
//
// Then [AsOf] becomes the date of the amendment, and the tests name what it brought.
package iso4217

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// AsOf is the day whose list this is: amendments that take effect later are not in it.
const AsOf = "2026-01-01"

// usual is the digits of what the list has none for, or does not have.
const usual = 2

//go:embed currencies.csv
var list string

type currency struct {
	digits int
	tender bool
}

// currencies reads the list: a header, then "code,digits,kind,until". What the standard
// gives no digits for (metals, units of account) has the usual ones.
var currencies = sync.OnceValue(func() map[string]currency {
	all := map[string]currency{}
	for i, line := range strings.Split(strings.TrimSuffix(list, "\n"), "\n") {
		fields := strings.Split(line, ",")
		if i == 0 || len(fields) != 4 {
			continue // the tests hold every line to the format
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

// Digits returns how many decimals the minor unit has: 2 for GBP, 0 for JPY, 3 for KWD.
// Withdrawn currencies keep theirs. A code that is not in the list has 2.
func Digits(code string) int {
	c, ok := currencies()[code]
	if !ok {
		return usual
	}
	return c.digits
}

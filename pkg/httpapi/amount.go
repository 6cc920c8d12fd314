package httpapi

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/iso4217"
)

// ValidCurrency reports whether code is the ISO 4217 code, in upper case, of a
// currency in use as legal tender (see [iso4217.Tender]).
func ValidCurrency(code string) bool { return iso4217.Tender(code) }

// ParseAmount converts an exact decimal of a request to minor units: "29.99" GBP is 2999, "40" and
// "40.0" JPY are 40. The value counts, not its notation: trailing zeros are accepted, but nothing
// is rounded. An exponent is refused, because no person writes a price as 1e2 and a small text
// could name a huge number. Errors are errs.Invalid and their text completes "the field …": unknown
// currency, no plain decimal, more decimals than the currency has, or out of int64's range. The
// sign is kept; the caller decides whether the amount may be negative.
func ParseAmount(n json.Number, code string) (int64, error) {
	if !ValidCurrency(code) {
		return 0, errs.New(errs.Invalid, "cannot be read because %.10q is no currency code of ISO 4217", code)
	}
	digits, negative := strings.CutPrefix(n.String(), "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if !onlyDigits(whole) || (point && !onlyDigits(fraction)) || (len(whole) > 1 && whole[0] == '0') {
		return 0, errs.New(errs.Invalid, "must be a plain decimal number like 29.99")
	}
	scale := iso4217.Digits(code)
	if len(fraction) > scale {
		if strings.Trim(fraction[scale:], "0") != "" {
			return 0, errs.New(errs.Invalid, "has more decimals than %s has (%d)", code, scale)
		}
		fraction = fraction[:scale]
	}
	text := whole + fraction + strings.Repeat("0", scale-len(fraction))
	if negative {
		text = "-" + text
	}
	minor, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errs.New(errs.Invalid, "is out of range")
	}
	return minor, nil
}

func onlyDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// FormatAmount is the inverse of ParseAmount: 2999 GBP is 29.99, always with all the currency's
// decimals. It also formats amounts in withdrawn currencies, which ParseAmount does not accept any
// more. An unknown code is formatted with two decimals.
func FormatAmount(minor int64, code string) json.Number {
	return json.Number(iso4217.Decimal(strconv.FormatInt(minor, 10), code))
}

// FormatSum is FormatAmount for sums, which may exceed int64.
func FormatSum(minor *big.Int, code string) json.Number {
	return json.Number(iso4217.Decimal(minor.String(), code))
}

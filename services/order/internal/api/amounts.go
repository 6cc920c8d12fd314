package api

import (
	"encoding/json"
	"errors"
	"fmt"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
)

// amounts parses the amounts of one body, all in one currency, and gathers what is
// wrong with them.
type amounts struct {
	currency string
	valid    bool
	faults   []error
}

func newAmounts(currency string) *amounts {
	a := &amounts{currency: currency, valid: httpapi.ValidCurrency(currency)}
	if !a.valid {
		a.faults = append(a.faults, errs.Field("currency", "%q is not an ISO 4217 currency code", currency))
	}
	return a
}

// parse gives minor units, 0 when the amount is at fault.
func (a *amounts) parse(field string, n json.Number) int64 {
	if !a.valid {
		return 0 // the currency says how many decimals there may be
	}
	minor, err := httpapi.ParseAmount(n, a.currency)
	if err != nil {
		a.faults = append(a.faults, errs.Field(field, "%s", err))
	}
	return minor
}

func (a *amounts) err() error { return errors.Join(a.faults...) }

func itemField(i int, name string) string { return fmt.Sprintf("items[%d].%s", i, name) }

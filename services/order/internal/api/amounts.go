package api

import (
	"encoding/json"
	"errors"
	"fmt"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/order/order"
)

// amounts parses the amounts of one request body, all in one currency. It collects the errors.
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

// parse returns the amount in minor units, or 0 when the amount is invalid.
func (a *amounts) parse(field string, n json.Number) int64 {
	if !a.valid {
		return 0 // the number of decimals depends on the currency
	}
	minor, err := httpapi.ParseAmount(n, a.currency)
	if err != nil {
		a.faults = append(a.faults, errs.Field(field, "%s", err))
	}
	return minor
}

func (a *amounts) items(items []Item) (out []order.Item) {
	for i, item := range items {
		out = append(out, order.Item{SKU: item.Sku, Quantity: item.Quantity, UnitPrice: a.parse(itemField(i, "unitPrice"), item.UnitPrice)})
	}
	return out
}

func (a *amounts) err() error { return errors.Join(a.faults...) }

func itemField(i int, name string) string { return fmt.Sprintf("items[%d].%s", i, name) }

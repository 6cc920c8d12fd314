package verify

import (
	"fmt"
	"math/big"
)

// Total is a sum of amounts or of pieces, exact at any size, so that a check cannot overflow. The
// zero value is 0.
type Total struct{ n *big.Int }

func total(n int64) Total { return Total{big.NewInt(n)} }

func (t Total) big() *big.Int {
	if t.n == nil {
		return new(big.Int)
	}
	return t.n
}

func (t Total) plus(u Total) Total  { return Total{new(big.Int).Add(t.big(), u.big())} }
func (t Total) minus(u Total) Total { return Total{new(big.Int).Sub(t.big(), u.big())} }
func (t Total) cmp(u Total) int     { return t.big().Cmp(u.big()) }
func (t Total) sign() int           { return t.big().Sign() }
func (t Total) String() string      { return t.big().String() }

// Equal reports whether both are the same number.
func (t Total) Equal(u Total) bool { return t.cmp(u) == 0 }

// totals adds up pieces by SKU.
type totals map[string]Total

func (t totals) add(sku string, n int64) { t[sku] = t[sku].plus(total(n)) }

// read sets t to a numeric from the database. It ignores an empty text: an earlier error has
// stopped the reading then.
func (t *Total) read(text string) error {
	if text == "" {
		return nil
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return fmt.Errorf("%q is no sum", text)
	}
	t.n = n
	return nil
}

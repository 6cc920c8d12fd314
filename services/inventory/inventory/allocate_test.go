package inventory

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAllocateIsAllOrNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		skus := []string{"A", "B", "C"}
		have := map[string]int64{}
		for _, sku := range skus[:2] { // C is never stocked
			have[sku] = rapid.Int64Range(0, 20).Draw(t, sku)
		}
		items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Item {
			return Item{rapid.SampledFrom(skus).Draw(t, "sku"), rapid.Int64Range(1, 10).Draw(t, "quantity")}
		}), 1, 5).Draw(t, "items")
		need := map[string]int64{}
		for _, it := range items {
			need[it.SKU] += it.Quantity
		}
		short := Allocate(have, items)
		for sku, n := range need {
			i := slices.IndexFunc(short, func(s Shortage) bool { return s.SKU == sku })
			_, known := have[sku]
			if lacks := !known || have[sku] < n; lacks != (i >= 0) {
				t.Fatalf("need %d of %s, have %d (known %v): shortages %+v", n, sku, have[sku], known, short)
			}
		}
	})
}

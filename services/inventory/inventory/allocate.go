package inventory

import (
	"cmp"
	"math"
	"slices"
)

const (
	// MaxPieces bounds what one SKU can ever receive, including the initial stock. All counts of a
	// SKU are parts of that, so no sum of them overflows. A client that stores numbers as doubles
	// shows each of them exactly.
	MaxPieces = int64(1_000_000_000_000_000)
	// maxHeld bounds what one order can reserve of a SKU, in pieces, because the events of a
	// reservation have 32 bits. An order has at most a million pieces per line.
	maxHeld = int64(math.MaxInt32)
)

// Item is a quantity of one SKU. Quantity counts pieces and is at least 1.
type Item struct {
	SKU      string
	Quantity int64
}

// Shortage is why an item could not be reserved. Known is false when the SKU was never stocked.
type Shortage struct {
	SKU                  string
	Requested, Available int64
	Known                bool
}

// Allocate compares items with the available pieces by SKU and returns the shortages, sorted by
// SKU. An empty result means that all items can be reserved. An order gets everything or nothing.
// Lines of the same SKU are added up. A quantity below 1 or above 2147483647 is always a shortage,
// whatever the stock.
func Allocate(available map[string]int64, items []Item) []Shortage {
	var out []Shortage
	for _, it := range Merge(items) {
		have, known := available[it.SKU]
		if !known || have < it.Quantity || it.Quantity < 1 || it.Quantity > maxHeld {
			out = append(out, Shortage{SKU: it.SKU, Requested: it.Quantity, Available: have, Known: known})
		}
	}
	return out
}

// Merge adds up lines of the same SKU and sorts by SKU. Stock rows are locked in that order, so two
// orders never deadlock. A line with a quantity below 1 makes the whole SKU invalid: its quantity
// becomes the quantity of the SKU, and other lines cannot raise it.
func Merge(items []Item) []Item {
	bySKU := map[string]int64{}
	for _, it := range items {
		n, twice := bySKU[it.SKU]
		if least := min(n, it.Quantity); twice && least < 1 {
			bySKU[it.SKU] = least
		} else {
			bySKU[it.SKU] = n + it.Quantity
		}
	}
	out := make([]Item, 0, len(bySKU))
	for sku, n := range bySKU {
		out = append(out, Item{SKU: sku, Quantity: n})
	}
	slices.SortFunc(out, func(a, b Item) int { return cmp.Compare(a.SKU, b.SKU) })
	return out
}

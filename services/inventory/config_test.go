package inventory

import (
	"strings"
	"testing"
)

func TestInitialStockHasACap(t *testing.T) {
	t.Parallel()
	if got, err := parseStock("A=1000000000000000, B=0"); err != nil || got["A"] != 1e15 || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	for _, list := range []string{"A=1000000000000001", "A=9223372036854775807", "A=9223372036854775808", "A=-1", "A", "=1"} {
		if _, err := parseStock(list); err == nil || !strings.Contains(err.Error(), "INITIAL_STOCK") {
			t.Errorf("%q: error %v, want one that names INITIAL_STOCK", list, err)
		}
	}
}

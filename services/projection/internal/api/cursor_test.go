package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/api"
	"eventshop.example/services/projection/internal/app"
)

// cursor returns the cursor behind the first order of a list.
func (f *fixture) cursor(path string) string {
	f.t.Helper()
	var page api.OrderPage
	f.get(path, http.StatusOK, &page)
	if page.NextCursor == nil {
		f.t.Fatalf("GET %s: no cursor", path)
	}
	return *page.NextCursor
}

// TestCursors: a cursor continues the list that it is of, by any path and in any page size. With
// other filters, or changed in any way, it is refused.
func TestCursors(t *testing.T) {
	f := newFixture(t)
	older, newer := f.order("a", "GBP", 1, 100), f.order("a", "GBP", 1, 100)
	all, ofA := f.cursor("/orders?limit=1"), f.cursor("/orders?customerId=a&limit=1")
	pending := f.cursor("/orders?status=PENDING&limit=1")
	both := f.cursor("/orders?status=PENDING&customerId=a&limit=1")
	lists := map[string]string{
		"/orders?": all, "/orders?customerId=a&": ofA, "/customers/a/orders?": ofA,
		"/orders?status=PENDING&": pending, "/orders?status=PENDING&customerId=a&": both,
	}
	for list, own := range lists {
		if got := f.ids(list + "limit=7&cursor=" + own); !slices.Equal(got, []string{older}) {
			t.Errorf("%s with its own cursor: %v, want %s", list, got, older)
		}
		for _, cursor := range []string{all, ofA, pending, both} {
			if cursor != own {
				f.refuses(list+"cursor="+cursor, "cursor")
			}
		}
		f.refuses(list+"cursor="+newer, "cursor") // the cursor of the release before
	}
	f.refuses("/customers/b/orders?cursor="+ofA, "cursor")
	for _, bad := range []string{"", "x", all + "A", all[:len(all)-1], all + "%3D", strings.Repeat("A", len(all)), strings.Repeat("A", 101), all + "%00"} {
		f.refuses("/orders?cursor="+bad, "cursor")
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(all)-1).Draw(t, "at")
		changed := all[:at] + string(alphabet[rapid.IntRange(0, len(alphabet)-1).Draw(t, "letter")]) + all[at+1:]
		if changed == all {
			return
		}
		res := httptest.NewRecorder()
		f.http.ServeHTTP(res, httptest.NewRequest(http.MethodGet, "/orders?cursor="+changed, nil))
		if res.Code != http.StatusBadRequest {
			t.Fatalf("%s in place of %s: %d %s", changed, all, res.Code, res.Body)
		}
	})
}

// TestPagesUnderWrites is the law of pages: an order that matched during the whole walk is seen
// exactly once, and none is seen twice, whatever is inserted and changed between pages.
func TestPagesUnderWrites(t *testing.T) {
	f := newFixture(t)
	rapid.Check(t, func(t *rapid.T) {
		customer := uuid.NewString() // the walks of one check do not meet those of another
		version := map[string]int64{}
		status := map[string]string{}
		place := func() {
			id := f.order(customer, "GBP", 1, 100)
			version[id], status[id] = 1, "PENDING"
		}
		placeLate := func() { // its id is older than those of other orders
			id := uuid.UUID{0, 0, 0, 0, 0, 0, 0x70, byte(len(version)), 0x80}
			copy(id[9:], customer)
			receive(f, app.OnOrderCreated, 1, created(id.String(), customer, "GBP", 1, 100))
			version[id.String()], status[id.String()] = 1, "PENDING"
		}
		move := func() {
			if len(version) == 0 {
				return
			}
			id := rapid.SampledFrom(slices.Sorted(maps.Keys(version))).Draw(t, "order")
			version[id]++
			if status[id] == "PENDING" {
				status[id] = "CANCELLING"
				receive(f, app.OnOrderCancellationRequested, version[id], events.OrderCancellationRequested{OrderID: id, OccurredAt: noon})
			} else {
				status[id] = "PENDING"
				receive(f, app.OnOrderCreated, version[id], created(id, customer, "GBP", 1, 100)) // sets the status
			}
		}
		for range rapid.IntRange(0, 6).Draw(t, "orders") {
			place()
		}
		list := rapid.SampledFrom([]string{"/customers/%s/orders?", "/orders?customerId=%s&status=PENDING&"}).Draw(t, "list")
		matches := func(id string) bool { return strings.HasPrefix(list, "/customers") || status[id] == "PENDING" }
		always := map[string]bool{}
		for id := range version {
			always[id] = matches(id)
		}
		seen := map[string]int{}
		next := ""
		for {
			var page api.OrderPage
			f.get(fmt.Sprintf(list, customer)+"limit="+fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "limit"))+next, http.StatusOK, &page)
			for _, o := range page.Orders {
				seen[o.OrderId.String()]++
			}
			if page.NextCursor == nil {
				break
			}
			next = "&cursor=" + url.QueryEscape(*page.NextCursor)
			for range rapid.IntRange(0, 3).Draw(t, "writes") {
				rapid.SampledFrom([]func(){place, placeLate, move, move}).Draw(t, "write")()
				for id := range always {
					always[id] = always[id] && matches(id)
				}
			}
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s was seen %d times", id, n)
			}
		}
		for id, did := range always {
			if did && seen[id] != 1 {
				t.Errorf("%s matched during the whole walk and was seen %d times", id, seen[id])
			}
		}
	})
}

// refuses checks that a request is answered 400 and the field is named.
func (f *fixture) refuses(path, field string) {
	f.t.Helper()
	var p struct {
		Errors []struct{ Field, Detail string }
	}
	f.get(path, http.StatusBadRequest, &p)
	if len(p.Errors) != 1 || p.Errors[0].Field != field || p.Errors[0].Detail == "" {
		f.t.Errorf("GET %s names %+v, want %s", path, p.Errors, field)
	}
}

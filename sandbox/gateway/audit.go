package gateway

import (
	"net/http"
	"slices"

	"eventshop.example/sandbox/internal/wire"
)

const (
	defaultPage = 1000
	maxPage     = 10_000
)

// getLedger is for auditors and has no fault rules: it shows what really happened while faults were
// active. With orderId it lists the entries of that order.
func (s *Server) getLedger(w http.ResponseWriter, r *http.Request) {
	after, limit, ok := wire.Page(w, r, defaultPage, maxPage)
	if !ok {
		return
	}
	page, query := s.ledger.page, r.URL.Query()
	if query.Has("orderId") {
		orderID := query.Get("orderId")
		if orderID == "" { // without this check, a client that lost the id would take all entries for one order's
			wire.Send(w, wire.Refuse(http.StatusBadRequest, "bad_request", "orderId is empty; leave it out for all orders"))
			return
		}
		page = func(after int64, limit int) ([]Entry, error) { return s.ledger.pageOf(orderID, after, limit) }
	}
	entries, err := page(after, limit)
	if err != nil {
		wire.Send(w, failed(err))
		return
	}
	wire.Send(w, wire.Answer{Status: http.StatusOK, Body: map[string]any{"entries": viewEntries(entries)}})
}

// page returns up to limit entries after the sequence number after.
func (l *ledger) page(after int64, limit int) ([]Entry, error) {
	var page []Entry
	_, err := l.decide(func() (outcome, error) {
		from := min(max(after, 0), int64(len(l.entries)))
		to := min(from+int64(limit), int64(len(l.entries)))
		page = append([]Entry{}, l.entries[from:to]...)
		return repeated, nil
	})
	return page, err
}

// pageOf is page for the entries of one order.
func (l *ledger) pageOf(orderID string, after int64, limit int) ([]Entry, error) {
	page := []Entry{}
	_, err := l.decide(func() (outcome, error) {
		numbers := l.byOrder[orderID]
		from, met := slices.BinarySearch(numbers, after)
		if met {
			from++
		}
		for _, n := range numbers[from:min(from+limit, len(numbers))] {
			page = append(page, l.entries[n-1])
		}
		return repeated, nil
	})
	return page, err
}

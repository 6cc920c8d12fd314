package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestBadInput: every invalid request gets a problem document that names the invalid field, and
// writes nothing.
func TestBadInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	swap := func(old, new string) string {
		t.Helper()
		if !strings.Contains(cart, old) {
			t.Fatalf("%q is not in the cart", old)
		}
		return strings.Replace(cart, old, new, 1)
	}
	const (
		malformed = http.StatusBadRequest
		wrong     = http.StatusUnprocessableEntity
	)
	tests := map[string]struct {
		body   string
		status int
		field  string // "" when no field is invalid
	}{
		"no body":           {"", malformed, ""},
		"no JSON":           {"order please", malformed, ""},
		"cut off":           {cart[:len(cart)/2], malformed, ""},
		"trailing data":     {cart + "{}", malformed, ""},
		"array":             {"[]", wrong, ""},
		"null":              {"null", wrong, ""},
		"nesting":           {strings.Repeat("[", 100) + strings.Repeat("]", 100), malformed, ""},
		"NUL":               {swap("Ada", "A\\u0000a"), malformed, "customer.name"},
		"invalid UTF-8":     {swap("Ada", "A\xff\xfea"), malformed, ""},
		"control character": {swap("Ada", "A\\u0007a"), wrong, "customer.name"},
		"duplicate field":   {swap(`"currency": "GBP"`, `"currency": "GBP", "currency": "EUR"`), malformed, "currency"},
		"duplicate inside":  {swap(`"quantity": 2`, `"quantity": 2, "quantity": 3`), malformed, "items[0].quantity"},
		"unknown field":     {swap(`"currency": "GBP"`, `"currency": "GBP", "coupon": "X"`), wrong, "coupon"},
		"unknown inside":    {swap(`"quantity": 2`, `"quantity": 2, "gift": true`), wrong, "items[0].gift"},

		"no customer":        {swap(`"customer": {"id": "cust-7", "name": "Ada Lovelace", "email": "ada@example.com"},`, ``), wrong, "customer"},
		"no customer id":     {swap(`"id": "cust-7", `, ``), wrong, "customer.id"},
		"empty customer id":  {swap(`"cust-7"`, `""`), wrong, "customer.id"},
		"path in the id":     {swap(`"cust-7"`, `"../x"`), wrong, "customer.id"},
		"number as name":     {swap(`"Ada Lovelace"`, `7`), wrong, "customer.name"},
		"null name":          {swap(`"Ada Lovelace"`, `null`), wrong, "customer.name"},
		"long name":          {swap(`Ada Lovelace`, strings.Repeat("A", 201)), wrong, "customer.name"},
		"no email":           {swap(`"ada@example.com"`, `"ada"`), wrong, "customer.email"},
		"no address":         {swap(`"shippingAddress": {"street": "123 Babbage Lane", "city": "London", "postalCode": "SW1A 1AA"},`, ``), wrong, "shippingAddress"},
		"empty street":       {swap(`123 Babbage Lane`, ``), wrong, "shippingAddress.street"},
		"newline in city":    {swap(`London`, `Lon\ndon`), wrong, "shippingAddress.city"},
		"country by name":    {swap(`"SW1A 1AA"`, `"SW1A 1AA", "country": "England"`), wrong, "shippingAddress.country"},
		"items no array":     {strings.NewReplacer("[", `{"a": [`, "]", "]}").Replace(cart), wrong, "items"},
		"no items":           {`{"customer": {"id": "c", "name": "n", "email": "a@b"}, "shippingAddress": {"street": "s", "city": "c", "postalCode": "p"}, "items": [], "totalAmount": 1, "currency": "EUR"}`, wrong, "items"},
		"101 items":          {swap(`{"sku": "GADGET-05"`, strings.Repeat(`{"sku": "X", "quantity": 1, "unitPrice": 1},`, 99)+`{"sku": "GADGET-05"`), wrong, "items"},
		"null item":          {swap(`{"sku": "GADGET-05", "quantity": 1, "unitPrice": 40.01}`, `null`), wrong, "items[1]"},
		"sku with a space":   {swap(`WIDGET-01`, `WIDGET 01`), wrong, "items[0].sku"},
		"sku twice":          {swap(`GADGET-05`, `WIDGET-01`), wrong, "items[1].sku"},
		"quantity 0":         {swap(`"quantity": 2`, `"quantity": 0`), wrong, "items[0].quantity"},
		"quantity -1":        {swap(`"quantity": 2`, `"quantity": -1`), wrong, "items[0].quantity"},
		"quantity 1.5":       {swap(`"quantity": 2`, `"quantity": 1.5`), wrong, "items[0].quantity"},
		"quantity as text":   {swap(`"quantity": 2`, `"quantity": "2"`), wrong, "items[0].quantity"},
		"quantity 1000001":   {swap(`"quantity": 2`, `"quantity": 1000001`), wrong, "items[0].quantity"},
		"quantity 2^31":      {swap(`"quantity": 2`, `"quantity": 2147483648`), wrong, "items[0].quantity"},
		"quantity 2^64":      {swap(`"quantity": 2`, `"quantity": 18446744073709551616`), wrong, "items[0].quantity"},
		"quantity 1e400":     {swap(`"quantity": 2`, `"quantity": 1e400`), 0, "items[0].quantity"},
		"no price":           {swap(`, "unitPrice": 29.99`, ``), wrong, "items[0].unitPrice"},
		"price -0.01":        {swap(`29.99`, `-0.01`), wrong, "items[0].unitPrice"},
		"price as text":      {swap(`29.99`, `"29.99"`), wrong, "items[0].unitPrice"},
		"price 29.999":       {swap(`29.99`, `29.999`), wrong, "items[0].unitPrice"},
		"price 1e2":          {swap(`29.99`, `1e2`), wrong, "items[0].unitPrice"},
		"price overflows":    {swap(`29.99`, `92233720368547758.08`), wrong, "items[0].unitPrice"},
		"price 1e400":        {swap(`29.99`, `1e400`), 0, "items[0].unitPrice"},
		"half a yen":         {swap(`GBP`, `JPY`), wrong, "items[0].unitPrice"},
		"no total":           {swap(`"totalAmount": 99.99,`, ``), wrong, "totalAmount"},
		"total 99.98":        {swap(`99.99`, `99.98`), wrong, "totalAmount"},
		"total 99.990001":    {swap(`99.99`, `99.990001`), wrong, "totalAmount"},
		"total -99.99":       {swap(`99.99`, `-99.99`), wrong, "totalAmount"},
		"total overflows":    {swap(`99.99`, `99999999999999999999`), wrong, "totalAmount"},
		"sum overflows":      {swap(`29.99`, `92233720368547758.07`), wrong, "totalAmount"},
		"price above cap":    {swap(`29.99`, `10000000000000.01`), wrong, "items[0].unitPrice"},
		"all of int64":       {strings.NewReplacer(`99.99`, `92233720368547758.07`, `"quantity": 2`, `"quantity": 1`, `29.99`, `92233720368547758.06`, `40.01`, `0.01`).Replace(cart), wrong, "totalAmount"},
		"all of int64, yen":  {strings.NewReplacer(`99.99`, `9223372036854775807`, `"quantity": 2`, `"quantity": 1`, `29.99`, `9223372036854775806`, `40.01`, `1`, `GBP`, `JPY`).Replace(cart), wrong, "totalAmount"},
		"cap and a penny":    {strings.NewReplacer(`99.99`, `10000000000000.01`, `"quantity": 2`, `"quantity": 1`, `29.99`, `10000000000000.00`, `40.01`, `0.01`).Replace(cart), wrong, "totalAmount"},
		"currency HRK":       {swap(`GBP`, `HRK`), wrong, "currency"},
		"currency XAU":       {swap(`GBP`, `XAU`), wrong, "currency"},
		"currency CHE":       {swap(`GBP`, `CHE`), wrong, "currency"},
		"no currency":        {swap("99.99,\n  \"currency\": \"GBP\"", "99.99"), wrong, "currency"},
		"currency XQZ":       {swap(`GBP`, `XQZ`), wrong, "currency"},
		"currency gbp":       {swap(`GBP`, `gbp`), wrong, "currency"},
		"currency of 4":      {swap(`GBP`, `EURO`), wrong, "currency"},
		"deadline 0":         {swap(`"GBP"`, `"GBP", "confirmWithinSeconds": 0`), wrong, "confirmWithinSeconds"},
		"deadline 86401":     {swap(`"GBP"`, `"GBP", "confirmWithinSeconds": 86401`), wrong, "confirmWithinSeconds"},
		"deadline in halves": {swap(`"GBP"`, `"GBP", "confirmWithinSeconds": 1.5`), wrong, "confirmWithinSeconds"},
	}
	for name, tt := range tests {
		a := f.do("POST", "/orders", tt.body, "Content-Type", "application/json", "Idempotency-Key", "k-"+name)
		checkProblem(t, name, a, tt.status, tt.field)
	}
	f.nothingWritten()
}

// checkProblem takes status 0 for 400 or 422, where either describes the problem.
func checkProblem(t *testing.T, name string, a answer, status int, field string) {
	t.Helper()
	if status == 0 && (a.Status == http.StatusBadRequest || a.Status == http.StatusUnprocessableEntity) {
		status = a.Status
	}
	if a.Status != status {
		t.Errorf("%s: status %d, want %d: %s", name, a.Status, status, a.Text)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" || a.Body == nil {
		t.Errorf("%s: answered with %q: %s", name, got, a.Text)
	}
	if field != "" && !slices.Contains(a.fields(), field) {
		t.Errorf("%s: names %q, want %q: %s", name, a.fields(), field, a.Text)
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	unknown := uuid.Must(uuid.NewV7()).String()
	tests := map[string]struct {
		method, path, body string
		header             []string
		status             int
		field              string
	}{
		"2 MiB":                 {"POST", "/orders", strings.Replace(cart, "Ada", strings.Repeat("A", 2<<20), 1), nil, http.StatusRequestEntityTooLarge, ""},
		"2 MiB of space":        {"POST", "/orders", strings.Repeat(" ", 2<<20) + cart, nil, http.StatusRequestEntityTooLarge, ""},
		"text/plain":            {"POST", "/orders", cart, []string{"Content-Type", "text/plain"}, http.StatusUnsupportedMediaType, ""},
		"no content type":       {"POST", "/orders", cart, []string{"Content-Type", ""}, http.StatusUnsupportedMediaType, ""},
		"form":                  {"POST", "/orders", "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, http.StatusUnsupportedMediaType, ""},
		"long key":              {"POST", "/orders", cart, []string{"Idempotency-Key", strings.Repeat("k", 256)}, http.StatusBadRequest, "Idempotency-Key"},
		"PUT":                   {"PUT", "/orders", cart, nil, http.StatusMethodNotAllowed, ""},
		"unknown route":         {"GET", "/order", "", nil, http.StatusNotFound, ""},
		"malformed id":          {"GET", "/orders/42", "", nil, http.StatusBadRequest, "orderId"},
		"injected id":           {"GET", "/orders/'%20OR%201=1--", "", nil, http.StatusBadRequest, "orderId"},
		"NUL in the id":         {"GET", "/orders/%00", "", nil, http.StatusBadRequest, "orderId"},
		"unknown id":            {"GET", "/orders/" + unknown, "", nil, http.StatusNotFound, ""},
		"events, malformed":     {"GET", "/orders/42/events", "", nil, http.StatusBadRequest, "orderId"},
		"events, unknown":       {"GET", "/orders/" + unknown + "/events", "", nil, http.StatusNotFound, ""},
		"version 0":             {"GET", "/orders/" + unknown + "?version=0", "", nil, http.StatusBadRequest, "version"},
		"version x":             {"GET", "/orders/" + unknown + "?version=x", "", nil, http.StatusBadRequest, "version"},
		"version 2^64":          {"GET", "/orders/" + unknown + "?version=18446744073709551616", "", nil, http.StatusBadRequest, "version"},
		"cancel, malformed":     {"POST", "/orders/42/cancel", "", nil, http.StatusBadRequest, "orderId"},
		"cancel, unknown":       {"POST", "/orders/" + unknown + "/cancel", "", nil, http.StatusNotFound, ""},
		"cancel, field":         {"POST", "/orders/" + unknown + "/cancel", `{"why": "x"}`, nil, http.StatusUnprocessableEntity, "why"},
		"cancel, no text":       {"POST", "/orders/" + unknown + "/cancel", `{"reason": 7}`, nil, http.StatusUnprocessableEntity, "reason"},
		"cancel, long text":     {"POST", "/orders/" + unknown + "/cancel", `{"reason": "` + strings.Repeat("x", 501) + `"}`, nil, http.StatusUnprocessableEntity, "reason"},
		"cancel, NUL":           {"POST", "/orders/" + unknown + "/cancel", `{"reason": "\u0000"}`, nil, http.StatusBadRequest, "reason"},
		"cancel, no JSON":       {"POST", "/orders/" + unknown + "/cancel", `x`, nil, http.StatusBadRequest, ""},
		"cancel, plain text":    {"POST", "/orders/" + unknown + "/cancel", `x`, []string{"Content-Type", "text/plain"}, http.StatusUnsupportedMediaType, ""},
		"draft, total":          {"POST", "/orders", `{"draft":true,"customer":{"id":"c","name":"n","email":"a@b"},"currency":"GBP","totalAmount":1}`, nil, http.StatusUnprocessableEntity, "totalAmount"},
		"draft, deadline":       {"POST", "/orders", `{"draft":true,"customer":{"id":"c","name":"n","email":"a@b"},"currency":"GBP","confirmWithinSeconds":1}`, nil, http.StatusUnprocessableEntity, "confirmWithinSeconds"},
		"draft, no customer":    {"POST", "/orders", `{"draft":true,"currency":"GBP"}`, nil, http.StatusUnprocessableEntity, "customer"},
		"draft, currency":       {"POST", "/orders", `{"draft":true,"customer":{"id":"c","name":"n","email":"a@b"},"currency":"XXQ"}`, nil, http.StatusUnprocessableEntity, "currency"},
		"draft, two lines":      {"POST", "/orders", `{"draft":true,"customer":{"id":"c","name":"n","email":"a@b"},"currency":"GBP","items":[{"sku":"A","quantity":1,"unitPrice":1},{"sku":"A","quantity":1,"unitPrice":1}]}`, nil, http.StatusUnprocessableEntity, "items[1].sku"},
		"no address, no items":  {"POST", "/orders", `{"customer":{"id":"c","name":"n","email":"a@b"},"currency":"GBP"}`, nil, http.StatusUnprocessableEntity, "shippingAddress"},
		"list of all orders":    {"GET", "/orders", "", nil, http.StatusBadRequest, "draft"},
		"list of other orders":  {"GET", "/orders?draft=false", "", nil, http.StatusBadRequest, "draft"},
		"list, cursor":          {"GET", "/orders?draft=true&cursor=7", "", nil, http.StatusBadRequest, "cursor"},
		"list, limit":           {"GET", "/orders?draft=true&limit=501", "", nil, http.StatusBadRequest, "limit"},
		"edit, no If-Match":     {"POST", "/orders/" + unknown + "/place", "", nil, http.StatusPreconditionRequired, ""},
		"edit, two tags":        {"POST", "/orders/" + unknown + "/place", "", []string{"If-Match", `"1", "2"`}, http.StatusBadRequest, "If-Match"},
		"edit, unknown":         {"POST", "/orders/" + unknown + "/place", "", []string{"If-Match", "*"}, http.StatusNotFound, ""},
		"edit, unknown, item":   {"POST", "/orders/" + unknown + "/items", `{"sku":"A","quantity":1,"unitPrice":1}`, []string{"If-Match", "*"}, http.StatusNotFound, ""},
		"edit, field":           {"POST", "/orders/" + unknown + "/items", `{"sku":"A","quantity":1,"unitPrice":1,"price":1}`, []string{"If-Match", "*"}, http.StatusUnprocessableEntity, "price"},
		"edit, SKU in the path": {"DELETE", "/orders/" + unknown + "/items/a%20b", "", []string{"If-Match", "*"}, http.StatusBadRequest, "sku"},

		"cancel by GET":       {"GET", "/orders/" + unknown + "/cancel", "", nil, http.StatusMethodNotAllowed, ""},
		"no route, no effect": {"PATCH", "/orders/" + unknown, "", nil, http.StatusMethodNotAllowed, ""},
	}
	for name, tt := range tests {
		checkProblem(t, name, f.do(tt.method, tt.path, tt.body, tt.header...), tt.status, tt.field)
	}
	f.nothingWritten()
}

// Package pgx declares what the sample needs of the driver.
package pgx

// Rows is the result of a query.
type Rows interface {
	Next() bool
	Close()
}

// Package every owns the rhythm of work in the background: once in a while, until the
// server ends. It must never know what is done, nor what becomes of its errors.
package every

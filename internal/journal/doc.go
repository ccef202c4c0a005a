// Package journal persists the groups of a store in a file, a log of changes. It also
// imports the file of the upstream Pushgateway.
//
// # The file
//
// Numbers are little endian, checksums are CRC-32C.
//
//	header    one sector of 512 bytes
//	batches   one after the other, each from the beginning of a sector
//	zeros     space for batches to come, at least a sector
//
//	header ┌ magic "pushgwlg" 8 │ version 4 │ checksum of these 4 ┐
//	       │ salt 8 │ offset of the first batch 8 │ number of the batch before it 8 │
//	       │ size of the file 8 │ checksum of the batch before it 4 │ zeros 8 │
//	       └ checksum of all above 4 │ zeros ┘
//
//	batch  ┌ number 8 │ length of its records 8 │ size of the file 8 │
//	       │ checksum of the batch before 4 │ checksum of the salt and all above 4 ┐
//	       │ records                                                              │
//	       └ checksum of all above 4 │ 0xFF │ zeros up to the end of the sector   ┘
//
//	record ┌ kind 1 │ length 4 │ data ┐
//	         1: a group: its state, as store.AppendRecord encodes it, with a checksum
//	         2: a group was deleted: its ID
//	         3: all groups were deleted: nothing
//	         4: a part of the state of a group: its offset 8, and the bytes from there on
//	         5: a group: the length 8 of its state, which the parts before make up
//
// A large group is written in parts. Other batches can come in between. Parts take effect once a
// record of kind 5 refers to them; parts that a crash has left without one are ignored. Files
// of version 2 have no parts.
//
// # What may be found after a crash
//
// A batch is acknowledged once it is written and synced, and only then is the next one
// written. So only the last batch can be one that nobody was told of. It was written over
// zeros that were on disk, in sectors of its own. Each sector reaches the disk as a whole
// or not at all. If some did not, the batch is dropped: a sector is still zero, or zeros
// follow from some byte of it on, and no batch comes after it. Anything else that is wrong
// is damage, as each batch says which one it follows and how long the file is at least:
//
//   - a changed byte: the checksum of its batch is wrong, but all of its sectors are there;
//   - a batch that is missing, old, of another file or at another place: the next one says
//     that it follows another one;
//   - an incomplete batch that another one follows;
//   - a file that is cut: it is shorter than its last batch, or its header, says.
//
// One kind of damage looks like an unfinished write: a sector of the last batch that has
// become all zeros. An orderly stop therefore appends an empty batch.
package journal

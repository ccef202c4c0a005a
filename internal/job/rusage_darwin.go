package job

// rssUnit is the unit of Maxrss in bytes.
const rssUnit = 1

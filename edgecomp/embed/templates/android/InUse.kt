// @SELECTOR_NOTE@
package edgecomp.model

/** The version in use. To go back, or to try another that lies beside it, change the package in this one line. */
typealias InUse = edgecomp.@PACKAGE@.@CLASS@
